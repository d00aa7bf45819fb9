"""What proto_loc adds to Apache Superset. The folder above is on the path, and is no package
itself.
"""
