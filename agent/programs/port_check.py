"""Tells whether a TCP port can be reached: `port_check.py HOST PORT`; exit code 0 if it can.

Standard library only; run as a file by itself.
"""

import socket
import sys
import time

_SECONDS = 5.0


def main() -> int:
    """Try every address of the host until one answers."""
    host, port = sys.argv[1], int(sys.argv[2])
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        print(f"{host} has no address: {error.strerror}.", file=sys.stderr)
        return 1
    for family, kind, protocol, _, address in found:
        where = f"{host} ({address[0]}) port {port}"
        begun = time.monotonic()
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.settimeout(_SECONDS)
                probe.connect(address)
        except TimeoutError:
            print(f"{where} did not answer within {_SECONDS:g} seconds.", file=sys.stderr)
        except OSError as error:
            print(f"{where} is not open: {error.strerror}.", file=sys.stderr)
        else:
            print(f"{where} is open, answered in {(time.monotonic() - begun) * 1000:.0f} ms.")
            return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
