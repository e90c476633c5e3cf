# Counts words by their first letter and length, and computes a little.
{
    for (i = 1; i <= NF; i++) { count[substr($i, 1, 1)]++; total += length($i); longest = length($i) > length(longest) ? $i : longest }
}
END {
    for (letter in count) lines[++n] = sprintf("%s %5d", letter, count[letter])
    for (i = 1; i <= n; i++) for (j = i + 1; j <= n; j++) if (lines[j] < lines[i]) { keep = lines[i]; lines[i] = lines[j]; lines[j] = keep }
    for (i = 1; i <= n; i++) print lines[i]
    printf "%d %s %.6f %s\n", total, longest, exp(1) * sin(1) + sqrt(2), toupper(substr("pagelab", 5))
}
