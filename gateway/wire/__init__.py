"""What the protocols have in common on the line: XML, ranges, dates, entity tags, media types."""
