# One test (label "lint") that compares the sources with .clang-format, and one per source of the
# store that runs clang-tidy on it. A clang build: clang-tidy does not know all of g++'s options.

find_program(CLANG_FORMAT clang-format-14 REQUIRED)
find_program(CLANG_TIDY clang-tidy-14 REQUIRED)

file(GLOB_RECURSE formatted CONFIGURE_DEPENDS
  ${PROJECT_SOURCE_DIR}/storage/*.h ${PROJECT_SOURCE_DIR}/storage/*.cc
  ${PROJECT_SOURCE_DIR}/quota/*.h ${PROJECT_SOURCE_DIR}/quota/*.cc
  ${PROJECT_SOURCE_DIR}/plugin/*.h ${PROJECT_SOURCE_DIR}/plugin/*.c ${PROJECT_SOURCE_DIR}/plugin/*.cc
  ${PROJECT_SOURCE_DIR}/bench/*.h ${PROJECT_SOURCE_DIR}/bench/*.cc
  ${PROJECT_SOURCE_DIR}/tests/*.h ${PROJECT_SOURCE_DIR}/tests/*.c ${PROJECT_SOURCE_DIR}/tests/*.cc)
add_test(NAME format COMMAND ${CLANG_FORMAT} --dry-run -Werror ${formatted})
set_tests_properties(format PROPERTIES LABELS lint)

file(GLOB_RECURSE sources CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR}
  ${PROJECT_SOURCE_DIR}/storage/*.cc ${PROJECT_SOURCE_DIR}/quota/*.cc)
foreach(source IN LISTS sources)
  add_test(NAME tidy.${source}
    COMMAND ${CLANG_TIDY} --quiet -p ${PROJECT_BINARY_DIR} ${PROJECT_SOURCE_DIR}/${source})
  set_tests_properties(tidy.${source} PROPERTIES LABELS lint TIMEOUT 300)
endforeach()

# What has to be built before clang-tidy can read the sources.
add_custom_target(lint_headers DEPENDS ${PROJECT_BINARY_DIR}/quota/usage.pb.h
  ${PROJECT_BINARY_DIR}/quota/policy_snapshot.pb.h)
