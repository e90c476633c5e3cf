# What a shell does by itself: no command here is a program, so nothing forks.
greeting=hello
greet() { local name=$1; printf '%s, %s!\n' "$greeting" "$name"; }
greet world
i=0 sum=0
while [ $i -lt 500 ]; do i=$((i + 1)); sum=$((sum + i * i)); done
echo "sum $sum, $((sum % 7)), $((1 << 20)), ${#greeting}, ${greeting%lo}, ${greeting#he}"
for word in one two "three four"; do
    case $word in
    o*) echo "starts with o: $word" ;;
    *' '*) echo "has a blank: $word" ;;
    *) echo "other: $word" ;;
    esac
done
set -- a b c
shift
echo "$# left: $*"
echo "first line" >"$1.txt"
echo "second line" >>"$1.txt"
while read -r one two; do echo "read $one and $two"; done <"$1.txt"
[ -f "$1.txt" ] && [ -s "$1.txt" ] && [ ! -d "$1.txt" ] && echo "a file that is not empty"
cd / && pwd
trap 'echo "leaving with $?"' EXIT
echo "to standard error" >&2
eval 'unset greeting; echo "${greeting:-nothing}"'
exit 4
