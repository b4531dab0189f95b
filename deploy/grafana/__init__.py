"""Grafana's dashboards, made from short descriptions: ``python -m deploy.grafana`` writes them.

`overview`, `worker`, `retrieval` and `quality` say what is on a dashboard, `panels` how it looks.
"""
