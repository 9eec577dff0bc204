"""What tests need of peers: a second, independent CURVE, raw clients and services, and the real process."""
