"""The cases of benchmarks/hostile.py that are awkward machines, other processes, and other people's code."""

from pathlib import Path

import hostile_files as make
from hostile_cases import EDGE, LSTM, Case, Words


def _one(folder: Path) -> list[str]:
    make.digit().save(folder / "one.png")
    return ["predict", "one.png"]


def _many(folder: Path, count: int = 3000) -> list[str]:
    (folder / "many").mkdir()
    for number in range(count):
        (folder / "many" / f"{number:05}.png").write_bytes(make.saved(make.digit(), "PNG"))
    return ["predict", "many", "--out", "answers"]


_START = f"[sys.executable, '-P', '-c', {EDGE!r}]"
_HERE = f"sys.argv = ['edge', *sys.argv[1:]]\nexec({EDGE!r})\n"

# Starts edge, ends it when it is under way, and says what is left.
_INTERRUPTED = f"""
import os, pathlib, signal, subprocess, sys, time
number, words = int(sys.argv[1]), sys.argv[2:]
edge = subprocess.Popen([*{_START}, *words], stderr=subprocess.PIPE, stdout=subprocess.PIPE)
time.sleep(float(os.environ["AFTER"]))
edge.send_signal(number)
started = time.monotonic()
out, err = edge.communicate(timeout=60)
left = [str(path) for path in pathlib.Path().rglob("*") if ".part" in path.name]
took = time.monotonic() - started
traced = ", a traceback" if b"Traceback" in err else ""
print("exit", edge.returncode, "after", round(took, 1), "s of wall time,", len(left), "partial files" + traced)
sys.exit(bool(left or traced) or edge.returncode not in (130, 143))
"""
# Answers as a server of the web should not, and gives its address to edge.
_SERVER = f"""
import http.server, subprocess, sys, threading, time
class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        try:
            while True:
                self.wfile.write(bytes(1 << 16) if "endless" in self.path else b"x")
                time.sleep(0 if "endless" in self.path else 1)
        except OSError:
            pass
    do_HEAD = do_GET
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
address = "http://127.0.0.1:" + str(server.server_address[1]) + "/" + sys.argv[1]
ended = subprocess.run([*{_START}, "predict", address, *sys.argv[2:]], capture_output=True, text=True)
print(ended.stderr.replace(address, sys.argv[1]), file=sys.stderr)
sys.exit(ended.returncode)
"""
_FRESH_HOME = f"""
import pathlib, subprocess, sys
edge = {_START}
for words in (["predict", "one.png"], ["verify", "lstm"], ["doctor"], ["info", "lstm"]):
    subprocess.run([*edge, *words], check=True, stdout=subprocess.DEVNULL)
left = sorted(str(path) for path in pathlib.Path().rglob("*") if path.name != "one.png")
print("files that appeared:", left)
sys.exit(bool(left))
"""
_NO_FILE = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
{_HERE}"""
_NO_THREAD = f"""
import sys, threading
def refuse(*_, **__):
    raise RuntimeError("can't start new thread")
threading._start_new_thread = threading._start_joinable_thread = refuse
{_HERE}"""


def machines() -> list[Case]:
    """Streams, disks, threads and signals."""
    full = '"$@" > /dev/full'
    sets = {"AFTER": "2.5"}
    return [
        Case(11, "a fresh home: predict, verify, doctor, info", _one_only, (0,), code=_FRESH_HOME),
        Case(12, "the standard error closed", _one, (0,), prefix='exec "$@" 2>&-'),
        Case(12, "the standard output closed", _one, (0, 1), prefix='exec "$@" >&-'),
        Case(12, "the standard input closed", _one, (0,), prefix='exec "$@" <&-'),
        Case(12, "the standard output full", _one, (1,), prefix=full),
        Case(
            12,
            "doctor, where no file can be written",
            lambda _: ["doctor"],
            (0,),
            code=_NO_FILE,
            prefix='"$@" | tail -n 3',
        ),
        Case(
            12,
            "verify, where no file can be written",
            lambda _: ["verify", "lstm"],
            (0,),
            code=_NO_FILE,
            prefix='"$@" | tail -n 3',
        ),
        Case(
            12,
            "a folder, where no thread can be started",
            lambda folder: _many(folder, 600)[:2],
            (0,),
            code=_NO_THREAD,
            prefix='"$@" | tail -n 1',
        ),
        Case(
            13,
            "SIGINT in a run of 3 000 files",
            lambda folder: ["2", *_many(folder)],
            (0,),
            code=_INTERRUPTED,
            environment=sets,
        ),
        Case(
            13,
            "SIGTERM in a run of 3 000 files",
            lambda folder: ["15", *_many(folder)],
            (0,),
            code=_INTERRUPTED,
            environment=sets,
        ),
        Case(
            13,
            "SIGTERM in a run of 200 photographs",
            lambda folder: ["15", *_photographs(folder)],
            (0,),
            code=_INTERRUPTED,
            environment=sets,
        ),
        Case(
            13,
            "SIGTERM in an export",
            lambda _: ["15", "export", "--model", "lstm-20", "--data", "strokes", "--out", "o"],
            (0,),
            code=_INTERRUPTED,
            environment={"AFTER": "6"},
        ),
        Case(19, "a Parquet file of one page that becomes 300 MB", lambda folder: _table(folder, 300_000_000)),
        Case(19, "an answer of the web without end", lambda _: ["endless.png"], (1,), code=_SERVER),
    ]


def _table(folder: Path, size: int) -> list[str]:
    (folder / "zeros.parquet").write_bytes(make.table_of_zeros(size))
    return ["predict", "zeros.parquet"]


def _photographs(folder: Path) -> list[str]:
    (folder / "many").mkdir()
    first = folder / "many" / "000.jpg"
    first.write_bytes(make.photograph())
    for number in range(1, 200):
        (folder / "many" / f"{number:03}.jpg").hardlink_to(first)
    return ["predict", "many", "--json"]


def _one_only(folder: Path) -> list[str]:
    _one(folder)
    return []


# One line for each value: its error, or its answer.
_ARRAYS = """
import sys
import numpy
import edge
if "torch" in sys.argv[1]:
    import torch
classifier = edge.load("lstm-int8", provider="cpu")
image = numpy.zeros((28, 28), numpy.uint8)
image[4:24, 13:16] = 255
try:
    print(eval(sys.argv[1]))
except edge.InputError as error:
    print("InputError:", error)
"""
_POOL = """
import multiprocessing, signal, sys
import edge
def read(path):
    return edge.load("lstm-int8", provider="cpu").predict(path).label
if __name__ == "__main__":
    signal.alarm(60)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        try:
            print(pool.map(read, ["three.png"]))
        except edge.SeveralDigitsError as error:
            print("SeveralDigitsError:", error)
"""
_PICKLES = """
import pickle
import edge
classifier = edge.load("lstm-int8", provider="cpu")
copy = pickle.loads(pickle.dumps(classifier))
prediction = copy.predict("one.png")
hash(prediction)
error = pickle.loads(pickle.dumps(edge.NoDigitError("a.png")))
assert str(error) == str(edge.NoDigitError("a.png")), str(error)
print("a classifier, a prediction and an error travel:", prediction.label)
"""


def _three(folder: Path) -> list[str]:
    page = make.Image.new("L", (300, 120), 255)
    for left in (30, 130, 230):
        make.ImageDraw.Draw(page).line((left, 15, left, 105), fill=0, width=9)
    page.save(folder / "three.png")
    return []


def library() -> list[Case]:
    """Edge in other people's programs."""
    modules = {
        "exits with 0": "import sys\nsys.exit(0)\ndef make():\n    return None\n",
        "raises": "def make():\n    raise ValueError('not today')\n",
        "does not parse": "def make(:\n",
        "has no such name": "",
    }

    def module(text: str) -> Words:
        def words(folder: Path) -> list[str]:
            (folder / "m.py").write_text(text)
            (folder / "w.safetensors").write_bytes(LSTM.read_bytes())
            return ["export", "--model", "m.py:make", "--checkpoint", "w.safetensors", "--out", "out"]

        return words

    arrays = [
        "classifier.classify(torch.zeros(2, 28, 28, requires_grad=True))",
        "classifier.classify(torch.zeros(2, 28, 28, dtype=torch.bfloat16))",
        "classifier.classify(numpy.zeros((0, 28, 28), numpy.uint8)).shape",
        "classifier.predict_image(numpy.zeros((3, 28, 28), numpy.uint8))",
        "classifier.classify([])",
        "classifier.classify('one.png')",
        "classifier.classify(None)",
        "classifier.classify(image[None, None])",
        "classifier.classify(image.reshape(1, 784))",
        "classifier.classify(image // 255)",
    ]
    # A module that raises keeps its own traceback, which helps who wrote it.
    return [
        Case(14, "a Pool.map with a page of three digits", _three, (0,), code=_POOL),
        Case(14, "pickles of a classifier, a prediction, an error", _one_only, (0,), code=_PICKLES),
        *(Case(15, line, lambda _, line=line: [line], (0,), code=_ARRAYS) for line in arrays),
        *(Case(16, f"a module that {what}", module(text)) for what, text in modules.items()),
    ]
