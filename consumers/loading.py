"""Finding the handlers a worker is to run: modules by dotted name or by file."""

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from .errors import AppError, HandlerError
from .faults import OWN_NAME
from .handlers import Registry, default


def load_apps(apps: Sequence[str]) -> Registry:
    """Import every app, and return all handlers they brought.

    An app is ``package.module`` or ``path/to/file.py``, whose `@job` handlers are taken; with
    ``:name`` after it, the handlers of its own `Registry` of that name are taken too.
    Raises AppError, or HandlerError for two handlers of one type.
    """
    own: list[Registry] = []
    for app in apps:
        path, _, attribute = app.partition(":")
        module = _import_file(app, Path(path)) if _is_file(path) else _import_module(app, path)
        if attribute:
            own.append(_registry(app, module, attribute))
    together = Registry()
    for registry in dict.fromkeys([default, *own]):
        for handler in registry:
            together.add(handler)
    return together


def load_module(app: str) -> ModuleType:
    """The module of an app. Raises AppError."""
    return _import_file(app, Path(app)) if _is_file(app) else _import_module(app, app)


def _is_file(path: str) -> bool:
    return path.endswith(".py") or "/" in path


def _registry(app: str, module: ModuleType, attribute: str) -> Registry:
    found = getattr(module, attribute, None)
    if not isinstance(found, Registry):
        raise AppError(app, f"a Registry named {attribute!r} in it", repr(found))
    return found


def _import_module(app: str, name: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise AppError(app, "a dotted module name or a path to a .py file", repr(name))
    _importable(Path.cwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(error.name + ".")):
            raise AppError(app, "a module that can be found from here", str(error)) from error
        raise AppError(app, "a module that imports without errors", _told(error)) from error
    except HandlerError:
        raise
    except Exception as error:
        raise AppError(app, "a module that imports without errors", _told(error)) from error


def _import_file(app: str, path: Path) -> ModuleType:
    path = path.absolute()
    if not path.is_file():
        raise AppError(app, "a file that exists", str(path))
    root, parts = path.parent, [path.stem]
    while (root / "__init__.py").is_file():  # in a package: so that its relative imports work
        parts.insert(0, root.name)
        root = root.parent
    _importable(root)
    if len(parts) > 1:
        return _import_module(app, ".".join(part for part in parts if part != "__init__"))
    name = _own_name(path)
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise AppError(app, "a Python file", str(path))
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, HandlerError) or not isinstance(error, Exception):
            raise
        raise AppError(app, "a file that runs without errors", _told(error)) from error
    return module


def _own_name(path: Path) -> str:
    """A module name for a file: a file called json.py must not replace a module others import.

    It is part of the types of errors, by which dead letters are grouped: so it is the same in every
    process, host and folder, but for a second file of one name.
    """
    name = f"{OWN_NAME}{path.stem}"
    other = sys.modules.get(name)
    if other is None or other.__file__ == str(path):
        return name
    return f"{name}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"


def _importable(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
