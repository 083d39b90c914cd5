import os


def histogram(plugin):
    """Called by its name, an entry point."""
    file = plugin.parameters("file")
    if not file:
        return False
    if not os.path.exists(file):
        return False
    bins = int(plugin.parameters("bins", 10))
    return file, bins
