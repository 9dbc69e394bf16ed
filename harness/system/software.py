"""Versions of all that takes part in a run; nothing is imported to find them."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from oildrop.harness.system.device_ids import salted_id
from oildrop.harness.system.source import Gaps, Host
from oildrop.rules.system import Software

FRAMEWORKS = ("torch", "jax", "mlx")
LIBRARIES = (
    "numpy", "scipy", "scikit-learn", "pyarrow", "duckdb", "psutil", "nvidia-ml-py", "triton", "jaxlib", "libtpu",
    "jax-cuda12-plugin", "jax-cuda13-plugin", "jax-rocm7-plugin", "mlx-metal", "mlx-cuda", "mlx-cpu",
    "nvidia-cudnn-cu12", "nvidia-cudnn-cu13", "nvidia-nccl-cu12", "nvidia-nccl-cu13",
)  # fmt: skip

ENVIRONMENT = (
    "OMP_NUM_THREADS", "OMP_PROC_BIND", "OMP_PLACES", "OMP_WAIT_POLICY", "OMP_DYNAMIC", "GOMP_CPU_AFFINITY",
    "KMP_AFFINITY", "KMP_BLOCKTIME", "MKL_NUM_THREADS", "MKL_DYNAMIC", "MKL_ENABLE_INSTRUCTIONS",
    "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS", "ONEDNN_MAX_CPU_ISA",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_LAUNCH_BLOCKING", "CUDA_MODULE_LOADING",
    "CUDA_DEVICE_MAX_CONNECTIONS", "CUBLAS_WORKSPACE_CONFIG", "NVIDIA_TF32_OVERRIDE",
    "NCCL_ALGO", "NCCL_PROTO", "NCCL_P2P_DISABLE", "NCCL_SHM_DISABLE", "NCCL_IB_DISABLE",
    "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HSA_OVERRIDE_GFX_VERSION", "HIPBLASLT_ALLOW_TF32",
    "TORCH_COMPILE_DISABLE", "TORCH_LOGS", "TORCHINDUCTOR_MAX_AUTOTUNE", "TORCHINDUCTOR_COMPILE_THREADS",
    "TORCHINDUCTOR_FX_GRAPH_CACHE", "TORCHDYNAMO_DISABLE", "ATEN_CPU_CAPABILITY", "DNNL_DEFAULT_FPMATH_MODE",
    "XLA_FLAGS", "XLA_PYTHON_CLIENT_PREALLOCATE", "XLA_PYTHON_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_ALLOCATOR",
    "JAX_PLATFORMS", "JAX_ENABLE_X64", "JAX_DEFAULT_MATMUL_PRECISION", "JAX_NUM_CPU_DEVICES", "LIBTPU_INIT_ARGS",
    "TPU_VISIBLE_CHIPS", "MLX_METAL_FAST_SYNCH", "MALLOC_ARENA_MAX", "LD_PRELOAD", "PYTHONHASHSEED", "PYTHONOPTIMIZE",
)  # fmt: skip
"""The only variables that are recorded: those known to change speed or numbers."""

ENVIRONMENT_PREFIXES = ("PYTORCH_",)
"""Families recorded whole: allocator, fallbacks, tunable operations."""

_PRIVATE_NAMES = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL")
_RAW_DEVICE = re.compile(r"(?:GPU|MIG)-[0-9A-Fa-f-]{8,36}")


def read_software(host: Host, drivers: dict[str, str], salt: str, gaps: Gaps) -> Software:
    """Versions by distribution name, git revision, image and environment."""
    return Software(
        oildrop=gaps.known("software.oildrop", _version("oildrop"), "oildrop is not installed") or "0+unknown",
        python=platform.python_version(),
        frameworks=framework_versions(),
        libraries=_versions(LIBRARIES),
        drivers=drivers,
        git_revision=gaps.known(
            "software.git_revision", git_revision(host, _source_root()), "not run from a git checkout with a commit"
        ),
        image=gaps.known("software.image", host.environment.get("OILDROP_IMAGE") or None, "OILDROP_IMAGE is not set"),
        environment=allowed_environment(host.environment, salt),
    )


def framework_versions() -> dict[str, str]:
    """Installed frameworks by distribution name."""
    return _versions(FRAMEWORKS)


def allowed_environment(environment: Mapping[str, str], salt: str) -> dict[str, str]:
    """The variables of the allow-list that are set, raw device ids in them salted."""
    return {
        name: _RAW_DEVICE.sub(lambda match: salted_id(salt, match[0]), environment[name])
        for name in sorted(environment)
        if name in ENVIRONMENT or (name.startswith(ENVIRONMENT_PREFIXES) and not _PRIVATE_NAMES.search(name))
    }


def git_revision(host: Host, folder: Path) -> str | None:
    """Commit of the checkout at `folder` in 40 hex digits, `-dirty` after it when tracked files differ.

    None when `folder` is not itself the top of a checkout: an installed copy inside somebody else's is not ours.
    """
    if not (folder / ".git").exists() or not (folder / "pyproject.toml").is_file():
        return None
    describe = ("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    answer = host.run(("git", "-C", str(folder), "--no-optional-locks", *describe))
    return answer if answer and re.fullmatch(r"[0-9a-f]{40}(-dirty)?", answer) else None


def _source_root() -> Path:
    return Path(__file__).resolve().parents[2]


def _versions(names: tuple[str, ...]) -> dict[str, str]:
    versions = ((name, _version(name)) for name in names)
    return {name: version for name, version in versions if version is not None}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
