"""The stock WsgiDAV application over a directory, from the environment; run directly it serves with cheroot."""

import itertools
import os
import sys

from wsgidav.wsgidav_app import WsgiDAVApp


def make_app():
    user, password = os.environ["DAV_USER"], os.environ["DAV_PASSWORD"]
    return WsgiDAVApp(
        {
            "provider_mapping": {"/": os.environ["DAV_ROOT"]},
            "http_authenticator": {
                "domain_controller": None,
                "accept_basic": True,
                "accept_digest": False,
                "default_to_digest": False,
            },
            "simple_dc": {"user_mapping": {"*": {user: {"password": password}}}},
            "property_manager": True,
            "lock_storage": True,
            "verbose": 1,
            "logging": {"enable": False},
        }
    )


def primed(app):
    """For servers that read the status before the first piece of the body: WsgiDAV calls start_response late."""

    def run(environ, start_response):
        body = app(environ, start_response)
        parts = iter(body)
        first = next(parts, b"")
        return itertools.chain([first], parts)

    return run


if "DAV_ROOT" in os.environ:
    application = make_app()
    if os.environ.get("DAV_PRIMED"):
        application = primed(application)

if __name__ == "__main__":
    from cheroot import wsgi

    port, threads = int(sys.argv[1]), int(sys.argv[2])
    # cheroot's own backlog of 5 drops connections that come in a burst (each waits 1 s for the next SYN)
    server = wsgi.Server(("127.0.0.1", port), application, numthreads=threads, max=threads, request_queue_size=128)
    try:
        server.start()
    except KeyboardInterrupt:
        server.stop()
