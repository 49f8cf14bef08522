"""The service on Ray Serve, as many replicas as the load asks for.

    pip install 'ray[serve]' 'edge-toolkit[cpu,serve]'
    EDGE_BUNDLES=lstm-int8,cnn-int8 serve run ray_serve:app        # in this folder; for a cluster `serve deploy`

Every replica loads the bundles, replays their evidence, and answers what `edge serve` answers.
"""

import os
from typing import Any

from ray import serve

REPLICAS = {"min_replicas": 1, "max_replicas": 8, "target_ongoing_requests": 32}


def service() -> Any:  # noqa: ANN401 - an ASGI application, of which Ray has no type
    """The routes of `edge serve`, made on the replica."""
    from edge.service.asgi import application

    return application(*filter(None, os.environ.get("EDGE_BUNDLES", "").split(",")))


edge_service = serve.deployment(
    name="edge", autoscaling_config=REPLICAS, ray_actor_options={"num_cpus": 1}, max_ongoing_requests=256
)(serve.ingress(service)())
app = edge_service.bind()
