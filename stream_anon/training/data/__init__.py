"""What training sees: packs, batches, augmentation, codes."""
