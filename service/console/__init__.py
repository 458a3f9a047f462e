"""The console: pages that people steer by.

A page is a module with a handler that answers `Shown` (which template, with which values) or, for a form, `Done` (where
to go next, and what to say there); a template; and a line in `service.console.pages`.
"""
