"""The servers to compare. A driver module lists its classes in PEERS."""

import importlib

MODULES = ["kurado", "apache", "nginx", "lighttpd", "rclone", "seaweedfs", "wsgidav_stock", "sabre", "moto"]


def load(extra=()):
    """{name: class} of every driver; `extra` are further modules."""
    found = {}
    for module in MODULES + list(extra):
        name = module if "." in module or module in extra else "peers." + module
        for cls in importlib.import_module(name).PEERS:
            found[cls.name] = cls
    return found
