"""A real Triton Inference Server on a repository of ours, asked for the evidence over HTTP and gRPC.

    PYTHONPATH=runtime PYTHON triton_server.py REPOSITORY NAME...

PYTHON has nvidia-pytriton, tritonclient[http,grpc], onnxruntime and numpy below 2. The server that comes with
nvidia-pytriton has the Python backend alone: a copy of the repository names that one, with ten lines that run the same
file with the same settings. The configuration, labels, warm-up and batching are ours as they are. A line of JSON tells
what each bundle answered by each protocol; one that does not answer as its evidence says ends the program.
"""

import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytriton
from tritonclient import grpc, http

from edge import verification
from edge.bundle import bundle
from edge.classifier.prediction import Scorer

SECONDS_TO_START = 120
REQUESTS = 200

BACKEND = """
import os
import onnxruntime
import triton_python_backend_utils as triton


class TritonPythonModel:
    def initialize(self, arguments):
        path = os.path.join(arguments["model_repository"], arguments["model_version"], "model.onnx")
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = settings.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])

    def execute(self, requests):
        return [self.answer(triton.get_input_tensor_by_name(one, "image").as_numpy()) for one in requests]

    def answer(self, images):
        names = ["logits", "probabilities", "score"]
        outputs = self.session.run(names, {"image": images})
        return triton.InferenceResponse([triton.Tensor(name, output) for name, output in zip(names, outputs)])
"""


def main(repository, names):
    with tempfile.TemporaryDirectory() as scratch:
        served = Path(scratch) / "repository"
        for name in names:
            shutil.copytree(Path(repository) / name, served / name)
            config = served / name / "config.pbtxt"
            config.write_text(config.read_text().replace('backend: "onnxruntime"', 'backend: "python"'))
            (served / name / "1" / "model.py").write_text(BACKEND)
        ports = [free_port() for _ in range(3)]
        process = start(served, Path(scratch), ports)
        try:
            wait(process, f"http://localhost:{ports[0]}/v2/health/ready")
            for name in names:
                source = bundle.read(served / name / "1" / "model.onnx")
                for kind, port in ((http, ports[0]), (grpc, ports[1])):
                    ask(kind, f"localhost:{port}", source)
        finally:
            process.terminate()
            process.wait()


def start(repository, scratch, ports):
    """Starts the server with the backend's stub for this Python beside it, as nvidia-pytriton does."""
    home = Path(pytriton.__file__).parent / "tritonserver"
    backends = Path(shutil.copytree(home / "backends", scratch / "backends"))
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = shutil.copy(home / "python_backend_stubs" / version / "triton_python_backend_stub", backends / "python")
    Path(stub).chmod(0o755)
    libraries = Path(pytriton.__file__).parents[1] / "nvidia_pytriton.libs"
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": str(libraries),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(libraries.parent),
    }
    command = [home / "bin" / "tritonserver", "--model-repository", repository, "--backend-directory", backends]
    for option, port in zip(("--http-port", "--grpc-port", "--metrics-port"), ports, strict=True):
        command += [option, str(port)]
    return subprocess.Popen([*map(str, command)], env=environment, stdout=sys.stderr)


def wait(process, address):
    end = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < end and process.poll() is None:
        with suppress(OSError), urllib.request.urlopen(address, timeout=5) as answer:
            if answer.status == 200:
                return
        time.sleep(0.5)
    sys.exit("the server did not start; its log is above")


def ask(kind, address, source):
    client = kind.InferenceServerClient(address)
    name, evidence = source.manifest.name, source.evidence

    def infer(images):
        image = kind.InferInput("image", list(images.shape), "UINT8")
        image.set_data_from_numpy(np.ascontiguousarray(images))
        return client.infer(name, [image])

    def run(images):
        answer = infer(images)
        return answer.as_numpy("logits"), answer.as_numpy("probabilities")

    found = verification.replay(run, evidence, source.manifest.temperature)
    within = all(error <= evidence.limit(place) for place, error in enumerate(found.image_errors))
    if not within or found.digit_flips or found.flips > evidence.max_flips:
        sys.exit(f"{name} over {kind.__name__}: max |logit error| {found.max_logit_error}, {found.flips} flips")
    answer = infer(evidence.images)
    scores, expected = answer.as_numpy("score"), Scorer.of(source.manifest.rejection).scores(answer.as_numpy("logits"))
    if scores.shape != (len(expected), 1) or np.abs(scores[:, 0] - expected).max() > 0.1:
        sys.exit(f"{name} over {kind.__name__}: scores {scores.shape} are not {expected}")
    image = kind.InferInput("image", [1, *evidence.images.shape[1:]], "UINT8")
    image.set_data_from_numpy(evidence.images[:1])
    wanted = kind.InferRequestedOutput("probabilities", class_count=1)
    (best,) = client.infer(name, [image], outputs=[wanted]).as_numpy("probabilities").ravel()
    label = source.manifest.labels[int(evidence.logits[0].argmax())]
    if best.decode().split(":")[2] != label:
        sys.exit(f"{name} over {kind.__name__}: {best} is not {label}")
    times = []
    for _ in range(REQUESTS):
        began = time.perf_counter()
        run(evidence.images[:1])
        times.append(time.perf_counter() - began)
    shares = [error / evidence.limit(place) for place, error in enumerate(found.image_errors)]
    told = {
        "name": name,
        "protocol": kind.__name__.rpartition(".")[2],
        "server": metadata["version"]
        if isinstance(metadata := client.get_server_metadata(), dict)
        else metadata.version,
        "max_logit_error": found.max_logit_error,
        "share": max(shares),
        "flips": found.flips,
        "digit_flips": found.digit_flips,
        "ms": statistics.median(times) * 1e3,
    }
    print(json.dumps(told))


def free_port():
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
