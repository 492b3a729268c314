"""Files as they lie on disk: how they are packed, what their first bytes say, how their text is encoded and parted."""
