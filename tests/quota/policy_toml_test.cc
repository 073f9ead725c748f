// The reader beside toml++: what it accepts is TOML, and means the same.
#include "quota/policy_toml.h"

#include <iterator>
#include <map>
#include <random>

#include <gtest/gtest.h>
#include <toml++/toml.h>

namespace hosting {
namespace {

using Kind = TomlNode::Kind;

// The same tree as text, from both. Other kinds of values than a policy has are left as "?".
std::string Show(const TomlNode& node) {
  std::string text;
  switch (node.kind) {
    case Kind::kTable: {
      std::map<std::string, std::string> sorted;
      for (const TomlNode* child = node.first; child != nullptr; child = child->next) {
        sorted[std::string(child->key)] = Show(*child);
      }
      for (const auto& [key, value] : sorted) {
        text += "<" + key + ">=" + value + ",";
      }
      return "{" + text + "}";
    }
    case Kind::kArray:
      for (const TomlNode* child = node.first; child != nullptr; child = child->next) {
        text += Show(*child) + ",";
      }
      return "[" + text + "]";
    case Kind::kString:
      return "'" + std::string(node.text) + "'";
    case Kind::kInteger:
      return std::to_string(node.number);
    case Kind::kBoolean:
      return node.number != 0 ? "true" : "false";
    default:
      return "?";
  }
}

std::string Show(const toml::node& node) {
  std::string text;
  if (const toml::table* const table = node.as_table()) {
    std::map<std::string, std::string> sorted;
    for (auto&& [key, value] : *table) {
      sorted[std::string(key.str())] = Show(value);
    }
    for (const auto& [key, value] : sorted) {
      text += "<" + key + ">=" + value + ",";
    }
    return "{" + text + "}";
  }
  if (const toml::array* const array = node.as_array()) {
    for (const toml::node& value : *array) {
      text += Show(value) + ",";
    }
    return "[" + text + "]";
  }
  if (const auto* const value = node.as_string()) {
    return "'" + value->get() + "'";
  }
  if (const auto* const value = node.as_integer()) {
    return std::to_string(value->get());
  }
  if (const auto* const value = node.as_boolean()) {
    return value->get() ? "true" : "false";
  }
  return "?";
}

struct Read {
  std::string tree;  // empty: refused
  std::vector<Problem> problems;
};

Read Ours(const std::string& text) {
  Problems problems(text);
  const TomlDocument document(text, problems);
  Read read{Show(document.root()), problems.Take()};
  if (!read.problems.empty()) {
    read.tree.clear();
  }
  return read;
}

std::string Theirs(const std::string& text) {
  try {
    return Show(toml::parse(text));
  } catch (const toml::parse_error&) {
    return "";
  }
}

std::string First(const std::string& text) {
  const Read read = Ours(text);
  return read.problems.empty()
             ? "none"
             : std::to_string(read.problems[0].line) + ":" +
                   std::to_string(read.problems[0].column) + ": " + read.problems[0].text;
}

TEST(PolicyToml, ReadsAsTomlDoes) {
  for (const char* const text : {
           "",
           "\n\n# only this",
           "\xef\xbb\xbf"
           "a = 1",
           "a = 1\r\nb = 2\r\n",
           "a=1#c\n\tb\t=\t2\t# c",
           "a = \"\\b\\t\\n\\f\\r\\\"\\\\\\u00e9\\U0001F600\"",
           "a = 'C:\\x'\n'quoted \" key' = \"\"\n\"\" = ''\n\"\\u0061b\" = 3",
           "1 = 1\n-_ = -5\nbig = 9223372036854775807\nsmall = -9223372036854775808",
           "a = +1_000\nb = 0\nc = -0\nd = +0",
           "a = true\nb = false",
           "a = []\nb = [ ]\nc = [1, 2,]\nd = [\n1 # c\n,\n\n2\n]\ne = [[1], [\"x\", [true]]]",
           "a = {}\nb = { c = 1, d = { e = [ { f = 1 } ] } }\nc = { x.y = 1, x.z = 2 }",
           "a.b.c = 1\na.b.d = 2\na . \"e\" = 3",
           "[a]\n[a.b]\nc = 1\n[ d . 'e' ]\nf = 1",
           "[a.b.c]\nx = 1\n[a]\ny = 1\n[a.b]\nz = 1",
           "[a]\nb.c = 1\n[a.b.d]\nx = 1",
           "é = 1",          // bare keys are ASCII
           "a = \"é\x01\"",  // no control characters
           "a = \"\x7f\"",
           "# \x01",
           "a = 1\rb = 2",
           "a = \"\xff\"",
           "a = \"\xc0\x80\"",
           "a = \"\xed\xa0\x80\"",
           "a = \"\xf4\x90\x80\x80\"",
           "a = \"\\ud800\"",
           "a = \"\\U00110000\"",
           "a = \"\\x41\"",
           "a = \"\\u12\"",
           "a = 01",
           "a = 1__0",
           "a = _1",
           "a = 1_",
           "a = --1",
           "a = 9223372036854775808",
           "a = ",
           "a",
           "= 1",
           "a = 1 b = 2",
           "a = \"x",
           "a = 'x",
           "a = \"x\ny\"",
           "a = [1",
           "a = [1 2]",
           "a = [,]",
           "a = {",
           "a = { b = 1,}",
           "a = { b = 1\n}",
           "a = { b = 1, b = 2 }",
           "a = 1\na = 2",
           "[a]\n[a]",
           "a = 1\n[a]",
           "a = 1\n[a.b]",
           "a = {}\n[a.b]",
           "a = {}\na.b = 1",
           "a.b = 1\n[a]",
           "[a]\nb.c = 1\n[a.b]",
           "a = []\n[a]",
           "[a]\nb = 1\n[a.b]",
           "[]",
           "[a",
           "[a]]",
           "[a.]",
           "[.a]",
           "[a..b]",
           "a. = 1",
           ".a = 1",
           "a = true1",
           "a = True",
           "a.b = 1\na.b.c = 2",
           "a = 1\na.b = 2",
           "[a]\nx = 1\n[b]\n[a]",
       }) {
    const Read ours = Ours(text);
    const std::string theirs = Theirs(text);
    if (ours.tree.find('?') == std::string::npos) {
      EXPECT_EQ(ours.tree, theirs) << text;
    }
  }
}

// What TOML has and a policy does not need is told as such.
TEST(PolicyToml, LeavesOut) {
  EXPECT_EQ(First("a = \"\"\"x\"\"\""),
            "1:5: expected a string in one line: a policy has no multi-line strings");
  EXPECT_EQ(First("[[a]]\nb = 1"), "1:1: expected [name]: a policy has no arrays of tables");
  EXPECT_EQ(First("[a.b.c]\n[a]\nb.d = 1"), "3:1: \"b\" is given already, in line 1");
  for (const char* const other : {"1.5", "1e3", "0xff", "0o7", "inf", "nan", "1979-05-27",
                                  "07:32:00", "10G", "/srv/www", "a@b"}) {
    const std::string text = std::string("a = ") + other;
    Problems problems(text);
    const TomlDocument document(text, problems);
    EXPECT_TRUE(problems.empty()) << other;  // told by who knows what the key is for
    ASSERT_NE(document.root().first, nullptr);
    EXPECT_EQ(document.root().first->kind, Kind::kOther);
    EXPECT_EQ(document.root().first->text, other);
  }
}

TEST(PolicyToml, SaysWhereAndWhat) {
  const struct {
    const char *text, *problem;
  } cases[] = {
      {"a = 1\n  b 2", "2:5: expected = after the key"},
      {"a = 1 x", "1:7: expected the end of the line"},
      {"é = 1",
       "1:1: expected a key (names with other characters than letters, digits, - and _ in quotes)"},
      {"\"é\" = 1 x", "1:9: expected the end of the line"},  // in characters, not bytes
      {"a = \"x\n", "1:5: expected a closing \" in the same line"},
      {"a = \"\\q\"", "1:6: expected one of \\b \\t \\n \\f \\r \\\" \\\\ \\uXXXX \\UXXXXXXXX"},
      {"a = [\n1,\n2\nb = 1", "4:1: expected a comma or ] in the array that begins in line 1"},
      {"a = { b = 1\n}", "1:12: expected a comma or } in the same line"},
      {"[a\n", "1:3: expected ] after the table's name"},
      {"a = 1\na = 2", "2:1: \"a\" is given twice, first in line 1"},
      {"[a]\n\n[a]", "3:2: table \"a\" is given twice, first in line 1"},
      {"a = 1\n[a]", "2:2: \"a\" has its value in line 1 already"},
      {"a = \"\x01\"", "1:6: expected no control characters"},
      {"# 1\n# \xff", "2:3: expected UTF-8"},
      {"a =", "1:4: expected a value: a string in quotes, a number, true, false, [ or {"},
      {"a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q = 1", "1:33: expected a key of at most 16 parts"},
      {"a = [[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]",
       "1:21: expected no more than 16 arrays and tables in each other"},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(First(c.text), c.problem) << c.text;
  }
}

TEST(PolicyToml, GoesOnAfterAProblem) {
  const std::string text =
      "a 1\n[b\nx = 1\n[c]\ny = [1,\n  2 3,\n  \"x\",\n]\nz = 5\ny = 6\n[[d]]\nx = 2\nx = "
      "3\n[e]\nf = 1\n";
  Problems problems(text);
  const TomlDocument document(text, problems);
  std::string where;
  for (const Problem& problem : problems.Take()) {
    where += std::to_string(problem.line) + " ";
  }
  EXPECT_EQ(where, "1 2 6 11 13 ");
  EXPECT_EQ(Show(document.root()), "{<c>={<y>=6,<z>=5,},<e>={<f>=1,},}");
}

TEST(PolicyToml, LargeTablesAreSearchedByName) {
  std::string text;
  for (int i = 0; i < 1000; ++i) {
    text += "k" + std::to_string(i) + " = " + std::to_string(i) + "\n";
  }
  EXPECT_EQ(First(text), "none");
  for (const int i : {0, 15, 16, 17, 999}) {
    EXPECT_EQ(First(text + "k" + std::to_string(i) + " = 1\n"),
              "1001:1: \"k" + std::to_string(i) + "\" is given twice, first in line " +
                  std::to_string(i + 1));
  }
}

// Random documents out of pieces that matter.
TEST(PolicyToml, AcceptsNothingThatIsNotToml) {
  constexpr const char* kPieces[] = {
      "a",           "b",       "c",    "a.b",   "b.a", "\"a\"",       "'b'",       "=",
      " = ",         "\n",      "\n",   "\n",    "[",   "]",           "[a]",       "[b]",
      "[a.b]",       "[b.a.c]", "\n[",  "]\n",   "{",   "}",           ",",         ", ",
      "1",           "-2",      "true", "\"x\"", "'y'", "\"\\u0061\"", "[1, 2]",    "{ a = 1 }",
      "{ b.c = 1 }", "[]",      "{}",   "# c",   "\t",  "\r\n",        ".",         "\"",
      "'",           "\\",      "é",    "0",     "00",  "a = 1\n",     "b = [1]\n", "c.d = {}\n",
  };
  std::mt19937 random(1);
  uint64_t accepted = 0;
  for (int i = 0; i < 60'000; ++i) {
    std::string text;
    for (uint32_t n = 1 + random() % 12; n > 0; --n) {
      text += kPieces[random() % std::size(kPieces)];
      if (random() % 3 == 0) {
        text += " = 1\n";
      }
    }
    const Read ours = Ours(text);
    if (!ours.tree.empty() && ours.tree.find('?') == std::string::npos) {
      ++accepted;
      ASSERT_EQ(ours.tree, Theirs(text)) << text;
    }
  }
  EXPECT_GT(accepted, 1000U);
}

}  // namespace
}  // namespace hosting
