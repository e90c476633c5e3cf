-- Lua at work: tables, strings, closures, coroutines, patterns, the garbage collector, a file, an error.
local folder = arg[1] or "/tmp"
local function sieve(n)
  local composite, primes = {}, {}
  for i = 2, n do
    if not composite[i] then
      primes[#primes + 1] = i
      for j = i * i, n, i do composite[j] = true end
    end
  end
  return primes
end
local primes = sieve(30000)
print("primes", #primes, primes[#primes])

local words = {}
for word in ("the quick brown fox jumps over the lazy dog"):gmatch("%a+") do words[#words + 1] = word end
table.sort(words)
print(table.concat(words, " "), ("x"):rep(20, "-"), ("%5.2f|%-6s|%x"):format(math.pi, "ab", 48879))

local function permutations(list, n)
  n = n or #list
  if n <= 1 then coroutine.yield(table.concat(list)) end
  for i = 1, n do
    list[n], list[i] = list[i], list[n]
    permutations(list, n - 1)
    list[n], list[i] = list[i], list[n]
  end
end
local count, last = 0, nil
for text in coroutine.wrap(function() permutations({ "a", "b", "c", "d", "e", "f" }) end) do count, last = count + 1, text end
print("permutations", count, last)

local kept = {}
for i = 1, 50000 do kept[i % 500] = { tostring(i), i * 1.5, { i } } end
collectgarbage()
print("kept", #kept, kept[499][1], kept[0][2], collectgarbage("count") < 4096)

local path = folder .. "/pagelab-workload.txt"
local out = assert(io.open(path, "w"))
for i = 1, 500 do out:write(i, "\t", i ^ 2, "\n") end
out:close()
local sum = 0
for line in io.lines(path) do sum = sum + tonumber(line:match("\t(.+)")) end
print("sum", sum, os.remove(path), io.open(path))

print(pcall(error, { code = 3 }) == false, select(2, pcall(function() local nothing; return nothing.field end)))
print(utf8.len("żółw"), 7 // 2, 7 % -3, 1 << 62, math.maxinteger + 1 == math.mininteger, string.pack(">I4", 258):byte(1, 4))
io.stderr:write("standard error\n")
for line in io.lines() do io.write("[", line, "]") end
print()
os.exit(9)
