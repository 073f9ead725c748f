"""The comparison of mail formats through real servers: see bench/compare and docs/benchmarks.md.

    corpus      the messages
    formats     a private Dovecot for each format
    run         repeats, turns and timing
    work_*      the operations, one function each
    counts      what does not depend on the machine: flushes, syscalls, bytes
    statistics  medians, bootstrap intervals
    report_*    text, JSON, HTML
"""
