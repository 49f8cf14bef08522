"""The pictures of a report: each module draws one kind from the document, onto a figure without any global state."""
