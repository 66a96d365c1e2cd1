"""What reports of all workflows share: ``report.json`` for programs, ``report.html`` for people."""
