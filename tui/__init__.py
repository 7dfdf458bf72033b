"""The two faces of DAME: the full-screen dashboard, and single verbs on the command line."""
