"""Pictures in a bucket: moto plays S3 on this machine; the same rows as from files, and what is missing is told."""

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

from moto.server import ThreadedMotoServer

tree, bundle = sys.argv[1:]
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
server.start()
host, port = server.get_host_and_port()
os.environ |= {
    "AWS_ENDPOINT_URL": f"http://{host}:{port}",
    "AWS_ACCESS_KEY_ID": "nobody",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
}

import s3fs  # noqa: E402 - it reads those when it is imported

bucket = s3fs.S3FileSystem()
bucket.mkdir("digits")
bucket.put(tree, "digits/tree", recursive=True)
with tarfile.open("some.tar", "w") as archive:
    archive.add(tree, "tree")
bucket.put("some.tar", "digits/some.tar")
signed = bucket.sign("digits/tree/0/0/0.png")
Path("list.txt").write_text(f"s3://digits/tree/0/0/0.png\ns3://digits/none.png\n{signed}\n")


def predict(*options):
    words = [sys.executable, "-m", "edge", "predict", "--model", bundle, *options]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return [json.loads(line) for line in done.stdout.splitlines()] if "--json" in options else done


def labels(rows):
    return {row["path"].partition("tree/")[2]: row.get("label") for row in rows}


expected = labels(predict(tree, "--json"))
listed = predict("--from", "list.txt", "--json")
begun = predict("s3://digits/tree/", "--out", "out", "--part-rows", "20")
Path("out/part-000001.jsonl").unlink()
again = predict("s3://digits/tree/", "--out", "out", "--part-rows", "20")
nowhere = predict("s3://nowhere/")
kept = [json.loads(line) for path in sorted(Path("out").glob("part-*")) for line in path.read_text().splitlines()]
checks = {
    "below an address": labels(predict("s3://digits/tree/", "--json")) == expected,
    "a pattern": set(labels(predict("s3://digits/tree/0/*/*.png", "--json"))) == {n for n in expected if n[:2] == "0/"},
    "an archive": labels(predict("s3://digits/some.tar", "--json")) == expected,
    "a list": [row.get("label") for row in listed] == [expected["0/0/0.png"], None, expected["0/0/0.png"]],
    "what is missing": listed[1]["error"] == "there is no file s3://digits/none.png; check the address",
    "no bucket": "s3://nowhere/" in nowhere.stderr and nowhere.returncode == 1,
    "a run goes on": begun.returncode == again.returncode == 0
    and "read before" in again.stdout
    and labels(kept) == expected,
}
server.stop()
print(json.dumps(checks))
