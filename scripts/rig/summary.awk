# Reads what libtest's binaries printed one after the other ("== NAME" before each, "== status N" after one that failed)
# and prints what failed, what was skipped and why, and the counts.

/^== status / { if (!counted) { broken++; print "FAILED   " file ": ended without a result, status " $3 }; next }
/^== / { file = $2; counted = 0; section = ""; next }
/^test .* \.\.\. / {
    result = $NF
    if (result == "ok") passed++
    else if (result == "ignored") { skipped++; print "skipped  " file "::" $2 ": ignored" }
    else if (result == "FAILED") { failed++; print "FAILED   " file "::" $2; said[file "::" $2] = "" }
    next
}
/^---- .* stdout ----$/ { section = file "::" $2; next }
/^(successes|failures):$/ || /^test result:/ { section = "" }
/^test result:/ { counted = 1; next }
# The first line of its kind: a test may skip more than one thing.
section != "" && /^skipped: / {
    if (!(section in skips)) { skips[section] = 1; passed--; skipped++ }
    print "skipped  " section ": " substr($0, 10)
}
section in said { said[section] = said[section] "    " $0 "\n" }

END {
    for (name in said) printf "\n%s said:\n%s", name, said[name]
    printf "rig %s: %d passed, %d failed, %d skipped\n", rig, passed, failed + broken, skipped
    exit (failed + broken > 0 || passed == 0)
}
