"""CPUs and instructions: read from files as Linux and containers have them."""

import os

import pytest

from edge.session import cpu


def write(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_at_least_one_cpu_is_allowed_and_never_more_than_the_affinity(tmp_path):
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert cpu.allowed(tmp_path) == affinity
    assert 1 <= cpu.allowed() <= affinity


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1.5),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
                "sys/fs/cgroup/a/cpu.max": "50000 100000\n",
                "sys/fs/cgroup/cpu.max": "400000 100000\n",
            },
            0.5,
        ),
        ({"proc/self/cgroup": "0::/not/mounted\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2.0),
        (
            {
                "proc/self/cgroup": "5:cpuset:/x\n3:cpu,cpuacct:/docker\n",
                "sys/fs/cgroup/cpu/docker/cpu.cfs_quota_us": "300000\n",
                "sys/fs/cgroup/cpu/docker/cpu.cfs_period_us": "100000\n",
            },
            3.0,
        ),
        (
            {
                "proc/self/cgroup": "3:cpu:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
        ({"proc/self/cgroup": "nonsense", "sys/fs/cgroup/cpu.max": "nonsense"}, None),
        ({"proc/self/cgroup": "0::/../../..\n"}, None),
    ],
)
def test_the_smallest_quota_of_the_control_groups_counts(tmp_path, files, quota):
    assert cpu.cgroup_quota(write(tmp_path, files)) == quota


def test_a_quota_below_one_cpu_still_allows_one(tmp_path):
    root = write(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "10000 100000\n"})
    assert cpu.allowed(root) == 1


def test_the_instructions_that_every_processor_has_are_named():
    both = "processor: 0\nflags\t\t: fpu avx2 avx512_vnni\n\nprocessor: 1\nflags\t\t: fpu avx2\n"
    assert cpu.parse_cpuinfo(both) == {"avx2"}
    assert cpu.parse_cpuinfo("Features\t: fp asimd asimddp i8mm\n") == {"asimddp", "i8mm"}
    assert cpu.parse_cpuinfo("flags : fpu sse2\n") == frozenset()


def test_a_system_that_does_not_tell_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setattr("platform.system", lambda: "Windows")
    assert cpu.instruction_sets(tmp_path) is None
    assert cpu.parse_cpuinfo("model name: x\n") is None


def test_macos_tells_through_sysctl(monkeypatch):
    text = "hw.optional.floatingpoint: 1\nhw.optional.arm.FEAT_DotProd: 1\nhw.optional.arm.FEAT_I8MM: 0\n"
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    monkeypatch.setattr(cpu, "_sysctl", lambda: text)
    assert cpu.instruction_sets() == {"asimddp"}
    monkeypatch.setattr(cpu, "_sysctl", lambda: None)
    assert cpu.instruction_sets() is None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("processor : 0\nmodel name\t: AMD  EPYC 7\n\nprocessor : 1\nmodel name\t: AMD  EPYC 7\n", "AMD  EPYC 7"),
        ("processor : 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0b\n", "arm64 core 0x41 0xd0b"),
        ("processor : 0\nCPU part\t: 0xd08\nModel\t\t: Raspberry Pi 4\n", "Raspberry Pi 4"),
        ("", None),
    ],
)
def test_the_processor_is_named_as_linux_names_it(text, name):
    assert cpu.parse_model(text) == name


def test_a_processor_without_a_name_is_named_by_its_architecture(tmp_path, monkeypatch):
    monkeypatch.setattr("edge.session.cpu.platform.system", lambda: "Linux")
    monkeypatch.setattr("edge.session.cpu.platform.processor", lambda: "")
    monkeypatch.setattr("edge.session.cpu.platform.machine", lambda: "riscv64")
    assert cpu.model(tmp_path) == "riscv64"


def test_the_generation_of_an_x86_processor_is_told_by_its_numbers(tmp_path):
    assert cpu.family(tmp_path) is None
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("cpu family\t: 26\nmodel\t\t: 2\nmodel name\t: AMD EPYC\n")
    assert cpu.family(tmp_path) == "family 26, model 2"
    (tmp_path / "proc/cpuinfo").write_text("CPU implementer\t: 0x41\n")
    assert cpu.family(tmp_path) is None
