"""The site of the guides: Sphinx's configuration, the build, and the generated references."""
