"""The JSON API, version 1: everything the pages can do, over the same services, with tokens instead of sessions."""
