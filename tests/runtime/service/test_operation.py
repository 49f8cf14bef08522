"""Operation: keys, other origins, figures, reload, several processes, and the end."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="the extra `serve` is not installed")

from edge.errors import EdgeError, InputError, VerificationError
from edge.service.metrics import Metrics
from edge.service.repository import Repository
from edge.service.requests import Settings

INFER = "/v2/models/linear-fp32/infer"


def figures(client):
    """The figures of `/metrics`, by name and labels."""
    lines = client.get("/metrics").body.decode().splitlines()
    pairs = [line.rpartition(" ") for line in lines if not line.startswith("#")]
    return {name: float(value) for name, _, value in pairs}


def test_a_key_is_wanted_where_one_is_set(serve, images, tensor):
    with serve(api_keys=("secret", "second")) as service:
        body = {"inputs": [tensor(images)]}
        assert service.client.post(INFER, body).status == 401
        assert service.client.post(INFER, body, {"Authorization": "Bearer wrong"}).status == 401
        for headers in (
            {"Authorization": "Bearer secret"},
            {"Authorization": "bearer second"},
            {"X-Api-Key": "secret"},
        ):
            assert service.client.post(INFER, body, headers).status == 200
        for path in ("/", "/docs", "/page/style.css", "/v2/health/live", "/v2/health/ready"):
            assert service.client.get(path).status == 200
        for path in ("/metrics", "/v2", "/v2/models"):
            assert service.client.get(path).status == 401


def test_the_settings_do_not_tell_the_keys_when_they_are_printed():
    assert "secret" not in repr(Settings((Path("a.onnx"),), api_keys=("secret",)))


def test_other_origins_may_call_only_where_they_are_named(serve):
    with serve(cors_origins=("https://friend.example",)) as service:
        friend = service.client.get("/v2", Origin="https://friend.example")
        stranger = service.client.get("/v2", Origin="https://stranger.example")
    assert friend.headers["access-control-allow-origin"] == "https://friend.example"
    assert "access-control-allow-origin" not in stranger.headers
    with serve() as service:
        assert "access-control-allow-origin" not in service.client.get("/v2", Origin="https://friend.example").headers


def test_the_figures_add_up(serve, images, tensor):
    with serve() as service:
        for _ in range(3):
            service.client.post(INFER, {"inputs": [tensor(images)]})
        service.client.post(INFER, {"inputs": []})
        found = figures(service.client)
        digest = service.service.repository.get(None).digest
    route = 'route="/v2/models/{model}/infer"'
    assert found[f'edge_requests_total{{code="200",{route}}}'] == 3
    assert found[f'edge_requests_total{{code="400",{route}}}'] == 1
    assert found[f"edge_request_seconds_count{{{route}}}"] == 4
    assert found['edge_batch_images_sum{model="linear-fp32"}'] == 15
    answers = sum(value for name, value in found.items() if name.startswith("edge_answers_total"))
    assert answers == 15
    assert found[f'edge_model_info{{digest="{digest}",model="linear-fp32"}}'] == 1
    assert found['edge_waiting_requests{kind="tensors"}'] == 0


def test_the_access_log_has_a_line_of_json_for_each_request(serve, capfd):
    with serve(access_log=True) as service:
        service.client.get("/v2")
        service.client.get("/nothing?secret=1")
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    asked = [(line["method"], line["path"], line["status"]) for line in lines]
    assert ("GET", "/v2", 200) in asked
    assert ("GET", "/nothing", 404) in asked
    assert all(line["ms"] >= 0 and line["client"] == "127.0.0.1" for line in lines)


def test_a_bundle_that_does_not_hold_its_evidence_is_not_served(tmp_path, repack, evidence):
    path = tmp_path / "wrong.onnx"
    path.write_bytes(repack(evidence=replace(evidence, logits=evidence.logits + 1)))
    with pytest.raises(VerificationError, match="evidence"):
        Repository(Settings((path,)), Metrics())


def test_two_bundles_of_one_name_are_not_served(tmp_path, packed):
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(packed)
    with pytest.raises(InputError, match="both called linear-fp32"):
        Repository(Settings((tmp_path / "a", tmp_path / "b")), Metrics())


def test_a_missing_bundle_is_not_served(tmp_path):
    with pytest.raises(EdgeError):
        Repository(Settings((tmp_path / "none.onnx",)), Metrics())


def test_a_changed_file_is_verified_and_then_takes_its_place(bundle_path, repack):
    repository = Repository(Settings((bundle_path,)), Metrics())
    before = repository.get(None)
    assert not repository.changed()
    assert repository.reload() == []
    bundle_path.write_bytes(repack(parameters=1))
    assert repository.changed()
    assert repository.reload() == ["linear-fp32"]
    after = repository.get("linear-fp32")
    assert after.digest != before.digest
    assert after.classifier.manifest.parameters == 1
    assert not repository.changed()


@pytest.mark.parametrize("content", [b"", b"no bundle", None])
def test_a_bad_bundle_is_refused_and_the_old_one_goes_on(bundle_path, repack, content):
    repository = Repository(Settings((bundle_path,)), Metrics())
    before = repository.get(None)
    if content is None:
        bundle_path.unlink()
    else:
        bundle_path.write_bytes(content)
    assert repository.reload(force=True) == []
    assert repository.get(None) is before
    assert not repository.changed()  # it is not tried again and again
    bundle_path.write_bytes(repack(parameters=2))
    assert repository.reload() == ["linear-fp32"]


@pytest.fixture
def trusted_key(tmp_path, monkeypatch):
    """A private key whose public half the environment trusts."""
    pytest.importorskip("cryptography", reason="the extra sign is not installed")
    from edge.bundle import signature

    signature.write_new_key(tmp_path / "key")
    monkeypatch.setenv("EDGE_TRUSTED_KEYS", str(tmp_path / "key.pub"))
    return signature.read_private_key(tmp_path / "key")


@pytest.mark.usefixtures("trusted_key")
def test_where_keys_are_trusted_a_bundle_without_a_signature_is_not_served(bundle_path, edge_command):
    refused = edge_command("serve", bundle_path, "--port", "0")
    assert (refused.code, refused.err.count("\n"), "is not signed" in refused.err) == (1, 1, True), refused.err


def test_where_keys_are_trusted_no_other_bundle_takes_the_place_of_a_signed_one(
    bundle_path, packed, serve, trusted_key
):
    from edge.bundle import bundle

    bundle_path.write_bytes(bundle.signed(bundle.read(packed), trusted_key).data)
    with serve() as service:
        assert service.client.get("/v2/models/linear-fp32/ready").status == 200
        repository, digest = service.service.repository, service.service.repository.get(None).digest
        bundle_path.write_bytes(packed)
        assert repository.reload(force=True) == []
        assert repository.get(None).digest == digest


def test_a_bundle_of_another_name_is_no_reload(bundle_path, repack):
    repository = Repository(Settings((bundle_path,)), Metrics())
    bundle_path.write_bytes(repack(name="other"))
    assert repository.reload() == []
    assert list(repository.models) == ["linear-fp32"]


def test_a_service_takes_a_changed_file_while_it_answers(serve, bundle_path, repack, images, tensor):
    with serve(watch_seconds=0.1) as service:
        before = service.service.repository.get(None).digest
        bundle_path.write_bytes(repack(parameters=3))
        end = time.monotonic() + 20
        while service.service.repository.get(None).digest == before and time.monotonic() < end:
            assert service.client.post(INFER, {"inputs": [tensor(images)]}).status == 200
        assert service.service.repository.get(None).digest != before
        assert figures(service.client)['edge_reloads_total{model="linear-fp32",outcome="replaced"}'] == 1


# As processes of their own


@pytest.fixture
def command(bundle_path, client_of):
    """Starts `edge serve` and waits until it is ready."""
    started = []

    def start(*options):
        words = [sys.executable, "-m", "edge", "serve", str(bundle_path), "--port", "0", *options]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        for line in process.stderr:
            if found := re.search(r"ready at http://127\.0\.0\.1:(\d+)/", line):
                return process, client_of(int(found[1]))
        raise AssertionError("the service ended before it was ready")

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.counted_children
def test_sighup_reads_the_bundles_anew_and_sigterm_ends_with_0_after_what_is_under_way(
    command, bundle_path, repack, images, tensor
):
    process, client = command()
    before = client.get("/v2/models").json["models"][0]["digest"]
    time.sleep(0.01)
    bundle_path.write_bytes(repack(parameters=4))
    process.send_signal(signal.SIGHUP)
    end = time.monotonic() + 20
    while client.get("/v2/models").json["models"][0]["digest"] == before and time.monotonic() < end:
        time.sleep(0.05)
    assert client.get("/v2/models").json["models"][0]["digest"] != before
    body = json.dumps({"inputs": [tensor(images)]}).encode()
    with client.connect() as connection:
        connection.sendall(
            b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (INFER.encode(), len(body), body[:10])
        )
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        connection.sendall(body[10:])
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
    out, err = process.communicate(timeout=20)
    assert (process.returncode, "Traceback" in err) == (0, False)
    last = json.loads(out.splitlines()[-1])
    assert (last["path"], last["status"]) == (INFER, 200)


@pytest.mark.counted_children
def test_a_worker_that_dies_is_started_anew_and_the_end_is_clean(command, images, tensor):
    process, client = command("--workers", "2", "--no-access-log")
    for _ in range(4):
        assert client.post(INFER, {"inputs": [tensor(images)]}).status == 200
    assert sum(value for name, value in figures(client).items() if name.startswith("edge_answers_total")) == 20
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if children.exists():
        workers = [int(word) for word in children.read_text().split()]
        victims = [worker for worker in workers if b"spawn_main" in Path(f"/proc/{worker}/cmdline").read_bytes()]
        assert len(victims) == 2
        os.kill(victims[0], signal.SIGKILL)
        for line in process.stderr:
            if "started anew" in line:
                break
        assert client.get("/v2/health/ready").status == 200
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 0


def test_a_service_of_a_bad_bundle_ends_with_1_and_one_line(tmp_path, edge_command):
    path = tmp_path / "bad.onnx"
    path.write_bytes(b"no bundle")
    ended = edge_command("serve", path, "--port", "0")
    assert (ended.code, ended.err.count("\n")) == (1, 1), ended.err
    assert "bad.onnx" in ended.err


@pytest.mark.exhaustive  # one process says the same
def test_two_workers_of_a_bad_bundle_end_with_1(tmp_path):
    path = tmp_path / "bad.onnx"
    path.write_bytes(b"no bundle")
    words = [sys.executable, "-m", "edge", "serve", str(path), "--port", "0", "--workers", "2"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "bad.onnx" in done.stderr


def test_an_address_that_is_taken_is_told_in_one_line(client, bundle_path, edge_command):
    ended = edge_command("serve", bundle_path, "--port", str(client.port))
    assert ended.code == 1
    assert "cannot be listened on" in ended.err
    assert ended.err.count("\n") == 1


def test_a_key_file_without_a_key_is_told(tmp_path, bundle_path, edge_command):
    empty = tmp_path / "keys"
    empty.write_text("\n")
    assert "has no key" in edge_command("serve", bundle_path, "--api-key-file", empty).err
    assert "cannot be read" in edge_command("serve", bundle_path, "--api-key-file", tmp_path / "none").err
