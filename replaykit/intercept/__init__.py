"""A Python call becomes a `Call`: proxies, shapes, binding, scope."""
