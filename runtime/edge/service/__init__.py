"""The bundle as a service: the Open Inference Protocol, picture files, and a page to draw on. Needs the extra `serve`.

repository    the bundles that are served: verified before they answer, replaced while requests go on
microbatching what arrived while the model was busy goes together
inference     the Open Inference Protocol v2 over HTTP, with its binary tensors
uploads       picture files out of request bodies, read beside the event loop
requests      settings and limits; bodies, answers, and errors that become answers
metrics       what is counted, in Prometheus' text form, and the access log
openapi       the API as an OpenAPI document
application   routes, keys, limits, security headers
asgi          the same for other ASGI servers
server        sockets, slow and idle connections, signals
workers       several processes that share a socket
web/          the page: plain HTML, CSS and JavaScript modules
"""
