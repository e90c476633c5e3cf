// C++ with its run-time library: exceptions thrown through frames, streams, containers, regular expressions, files.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <functional>
#include <iomanip>
#include <iostream>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <regex>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

namespace {

struct Noisy {
    std::string name;
    explicit Noisy(std::string name) : name(std::move(name)) {}
    ~Noisy() { std::cout << "unwound " << name << '\n'; }
};

void deep(int depth) {
    Noisy noisy("depth " + std::to_string(depth));
    if (depth == 0) throw std::out_of_range("at the bottom");
    deep(depth - 1);
}

void exceptions() {
    try {
        deep(3);
    } catch (const std::exception &error) {
        std::cout << "caught " << error.what() << '\n';
    }
    try {
        std::vector<int>(3).at(7) = 1;
    } catch (const std::out_of_range &) {
        std::cout << "caught out_of_range\n";
    }
    try {
        std::vector<char> huge(size_t(1) << 46);
        std::cout << huge.size() << '\n';
    } catch (const std::bad_alloc &) {
        std::cout << "caught bad_alloc\n";
    }
    try {
        try {
            throw 7;
        } catch (int) {
            std::throw_with_nested(std::runtime_error("outer"));
        }
    } catch (const std::runtime_error &error) {
        try {
            std::rethrow_if_nested(error);
        } catch (int number) {
            std::cout << "nested " << error.what() << ' ' << number << '\n';
        }
    }
    int thrown = 0;
    for (int i = 0; i < 2000; i++) {
        try {
            if (i % 2) throw std::string(static_cast<size_t>(i % 50), 'x');
        } catch (const std::string &text) {
            thrown += static_cast<int>(text.size());
        }
    }
    std::cout << "thrown " << thrown << '\n';
}

void containers() {
    std::mt19937_64 random(42);
    std::map<std::string, int> counts;
    std::unordered_map<uint64_t, std::string> names;
    std::multiset<int> numbers;
    for (int i = 0; i < 20000; i++) {
        auto value = random() % 1000;
        counts["key" + std::to_string(value)]++;
        names[value] += static_cast<char>('a' + value % 26);
        numbers.insert(static_cast<int>(value));
    }
    size_t letters = 0;
    for (const auto &[value, name] : names) letters += name.size();
    auto most = std::max_element(counts.begin(), counts.end(),
                                 [](const auto &a, const auto &b) { return a.second < b.second; });
    std::cout << counts.size() << ' ' << letters << ' ' << most->first << ' ' << most->second << ' ' << *numbers.rbegin()
              << '\n';
    std::vector<std::string> words;
    std::istringstream in("the quick brown fox jumps over the lazy dog");
    for (std::string word; in >> word;) words.push_back(word);
    std::stable_sort(words.begin(), words.end(), [](auto &a, auto &b) { return a.size() < b.size(); });
    for (auto &word : words) std::cout << std::quoted(word) << ' ';
    std::cout << std::accumulate(words.begin(), words.end(), size_t(0), [](size_t n, auto &w) { return n + w.size(); })
              << '\n';
    std::vector<std::unique_ptr<std::function<double(double)>>> functions;
    for (double by : {1.5, 2.5, -1.0})
        functions.push_back(std::make_unique<std::function<double(double)>>([by](double x) { return x * by; }));
    double x = 1;
    for (auto &function : functions) x = (*function)(x);
    std::cout << std::fixed << std::setprecision(4) << x << ' ' << std::hex << std::showbase << 48879 << std::dec << ' '
              << std::scientific << 1234.5678 << std::defaultfloat << '\n';
}

void expressions() {
    const std::regex address(R"(([\w.]+)@(\w+)\.(\w+))");
    const std::string text = "write to ann@example.org, bob.b@test.net or nobody";
    for (std::sregex_iterator it(text.begin(), text.end(), address), end; it != end; ++it)
        std::cout << it->str(1) << " at " << it->str(2) << '\n';
    std::cout << std::regex_replace(text, std::regex("[aeiou]"), "_") << '\n';
}

void files(const std::string &folder) {
    const std::string path = folder + "/pagelab-everything.txt";
    {
        std::ofstream out(path);
        for (int i = 0; i < 1000; i++) out << i << ' ' << i * i << '\n';
    }
    std::ifstream in(path);
    long long sum = 0, lines = 0;
    for (long long number, square; in >> number >> square; lines++) sum += square;
    std::cout << lines << " lines, " << sum << '\n';
    in.close();
    std::cout << (std::remove(path.c_str()) == 0 ? "removed" : "not removed") << '\n';
    if (!std::ifstream(path)) std::cout << "and gone\n";
}

} // namespace

int main(int count, char **args) {
    exceptions();
    containers();
    expressions();
    files(count > 1 ? args[1] : "/tmp");
    std::string line;
    for (int number = 1; std::getline(std::cin, line); number++) std::cout << number << ": " << line << '\n';
    auto since = std::chrono::steady_clock::now();
    std::cout << (std::chrono::steady_clock::now() >= since ? "time goes on" : "time goes back") << std::endl;
    std::cerr << "the last word" << std::endl;
    throw std::logic_error("nobody catches this");
}
