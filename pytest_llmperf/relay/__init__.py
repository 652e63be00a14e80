"""A reverse proxy on loopback that shows what passes, byte for byte, with the time at which it arrived.

For whoever builds on it, the public names are

- `relay.watch`: `RelayedRequest` (head and body of a request), `Watch` (is told of one exchange: sent, the
  answer's head, each piece of its body with its stamp, how it ended), `Observer` (makes watches),
- `relay.upstream.Upstream`: the server to which requests go, and what proves who we are,
- `relay.server`: ``Relay(upstreams, route, observe, placeholder=...)``, then ``await relay.open(port)`` and
  ``relay.close()`` inside a running event loop; *route* maps the target of a request to a `Route`.
"""
