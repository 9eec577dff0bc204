"""The container image, built and run without a registry and without a container engine."""
