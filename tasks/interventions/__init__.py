"""Our own acts: when and how much they change, which overlap, until when they count, and how they are taken back."""
