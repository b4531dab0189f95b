"""Manifests for Kubernetes, and what is made of other files for them."""
