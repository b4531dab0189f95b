"""The composition root: real objects from settings. Nothing else reads them."""
