"""Networks, the ArcFace head, freezing, and the LightningModule that joins them."""
