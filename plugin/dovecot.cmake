# Finds the installed Dovecot and says how a module for it is built.
#
# Sets DOVECOT_SERIES ("2.3" or "2.4"), DOVECOT_ABI (the string that modules carry), DOVECOT_INCLUDE_DIR,
# DOVECOT_LIB_DIR, DOVECOT_LIBEXEC_DIR and DOVECOT_MODULE_DIR (where Dovecot looks for modules), and defines
# lbox_dovecot_module() and lbox_dovecot_program().
# LBOX_DOVECOT_BUILD tells builds of the same ABI apart.
# ${LBOX_MODULES} mirrors Dovecot's module folder: what is built here, and links to all else.

find_file(DOVECOT_CONFIG dovecot-config
  PATHS /usr/lib/dovecot /usr/lib64/dovecot /usr/local/lib/dovecot NO_DEFAULT_PATH
  DOC "The dovecot-config file that dovecot-dev installs")
if(NOT DOVECOT_CONFIG)
  message(FATAL_ERROR "dovecot-config not found: install dovecot-dev or set DOVECOT_CONFIG "
    "(LBOX_DOVECOT=OFF builds the message store alone)")
endif()

file(STRINGS ${DOVECOT_CONFIG} dovecot_config_lines)
foreach(line IN LISTS dovecot_config_lines)
  if(line MATCHES "^dovecot_moduledir=(.*)")
    set(DOVECOT_MODULE_DIR "${CMAKE_MATCH_1}" CACHE PATH "Where Dovecot looks for its modules")
  elseif(line MATCHES "^dovecot_pkglibdir=(.*)")
    set(DOVECOT_LIB_DIR "${CMAKE_MATCH_1}" CACHE PATH "Dovecot's libraries")
  elseif(line MATCHES "^dovecot_pkglibexecdir=(.*)")
    set(DOVECOT_LIBEXEC_DIR "${CMAKE_MATCH_1}" CACHE PATH "The programs of Dovecot's services")
  elseif(line MATCHES "^dovecot_pkgincludedir=(.*)")
    set(DOVECOT_INCLUDE_DIR "${CMAKE_MATCH_1}" CACHE PATH "Dovecot's headers")
  endif()
endforeach()

file(STRINGS ${DOVECOT_INCLUDE_DIR}/config.h dovecot_abi_line REGEX "define DOVECOT_ABI_VERSION")
if(NOT dovecot_abi_line MATCHES "\"((2\\.[0-9]+)\\.ABI[^\"]*)\"")
  message(FATAL_ERROR "No DOVECOT_ABI_VERSION in ${DOVECOT_INCLUDE_DIR}/config.h")
endif()
set(DOVECOT_ABI "${CMAKE_MATCH_1}")
set(DOVECOT_SERIES "${CMAKE_MATCH_2}")
if(NOT DOVECOT_SERIES MATCHES "^2\\.[34]$")
  message(FATAL_ERROR "Dovecot ${DOVECOT_SERIES} is not supported: 2.3 and 2.4 are")
endif()
message(STATUS "Dovecot ${DOVECOT_SERIES} (${DOVECOT_ABI}), modules in ${DOVECOT_MODULE_DIR}")

set(LBOX_MODULES ${PROJECT_BINARY_DIR}/modules)

# Which build of Dovecot this is: "libdovecot=<build-id>,...", for plugin/abi-check.h. Programs: those whose structures modules share.
option(LBOX_ABI_CHECK "Modules and programs refuse to run in another build of Dovecot than the one they were compiled against" ON)
set(LBOX_DOVECOT_BUILD "")
if(LBOX_ABI_CHECK)
  set(with_build_id "")
  foreach(name libdovecot.so libdovecot-storage.so auth imap pop3)
    set(dir ${DOVECOT_LIBEXEC_DIR})
    if(name MATCHES "\\.so$")
      set(dir ${DOVECOT_LIB_DIR})
    endif()
    if(EXISTS ${dir}/${name} AND CMAKE_READELF)
      get_filename_component(file ${dir}/${name} REALPATH)
      set_property(DIRECTORY ${PROJECT_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
      execute_process(COMMAND ${CMAKE_COMMAND} -E env LC_ALL=C ${CMAKE_READELF} -n ${file}
        OUTPUT_VARIABLE notes ERROR_QUIET)
      if(notes MATCHES "Build ID: ([0-9a-f]+)")
        set(id ${CMAKE_MATCH_1})
        string(REPLACE ".so" "" name ${name})
        list(APPEND with_build_id ${name}=${id})
      endif()
    endif()
  endforeach()
  list(JOIN with_build_id "," LBOX_DOVECOT_BUILD)
  if(NOT LBOX_DOVECOT_BUILD MATCHES "libdovecot=.*libdovecot-storage=")
    message(WARNING "No build-id in Dovecot's libraries: modules will not notice that they are loaded by another build of Dovecot")
  endif()
endif()

# lbox_for_this_dovecot(<target>): what all that includes Dovecot's headers has in common. The build is
# defined for each file, so that all are compiled anew when Dovecot is another: the headers that a
# distribution installs have the time of its own build, not of their installation.
function(lbox_for_this_dovecot target)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR})
  target_include_directories(${target} SYSTEM PRIVATE ${DOVECOT_INCLUDE_DIR})
  target_compile_definitions(${target} PRIVATE HAVE_CONFIG_H LBOX_DOVECOT_BUILD="${LBOX_DOVECOT_BUILD}")
  # Dovecot's tables of callbacks are filled in part, the rest is zero by intent.
  target_compile_options(${target} PRIVATE -Wno-missing-field-initializers)
endfunction()

# lbox_dovecot_module(<target> OUTPUT <libNN_name> EXPORTS <version script>
#                     [SUBDIR <folder below the module folder>]
#                     SOURCES <file>... [LINK <library>...])
# A loadable module: found by Dovecot under OUTPUT's name, exporting only what the version script
# lists. Dovecot's own symbols are resolved when it is loaded.
function(lbox_dovecot_module target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "OUTPUT;EXPORTS;SUBDIR" "SOURCES;LINK")
  foreach(needed OUTPUT EXPORTS SOURCES)
    if(NOT arg_${needed})
      message(FATAL_ERROR "lbox_dovecot_module(${target}) needs ${needed}")
    endif()
  endforeach()
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "lbox_dovecot_module(${target}): unknown ${arg_UNPARSED_ARGUMENTS}")
  endif()
  get_filename_component(exports ${arg_EXPORTS} ABSOLUTE)

  # lib20_lbox_plugin.so is the module lbox_plugin, and has lbox_plugin_version.
  string(REGEX REPLACE "^lib([0-9]+_)?" "" name ${arg_OUTPUT})

  add_library(${target} MODULE ${arg_SOURCES} abi-check.c abi-check-module.c)
  set_target_properties(${target} PROPERTIES
    PREFIX ""
    OUTPUT_NAME ${arg_OUTPUT}
    LIBRARY_OUTPUT_DIRECTORY ${LBOX_MODULES}/${arg_SUBDIR}
    C_EXTENSIONS ON
    CXX_EXTENSIONS ON
    LINK_DEPENDS ${exports})
  lbox_for_this_dovecot(${target})
  target_compile_definitions(${target} PRIVATE LBOX_MODULE_VERSION=${name}_version)
  # --exclude-libs: nothing of the libraries that are linked in statically is exported either.
  target_link_options(${target} PRIVATE
    LINKER:--version-script=${exports} LINKER:--exclude-libs,ALL LINKER:-z,relro,-z,now)
  target_link_libraries(${target} PRIVATE ${arg_LINK})
  install(TARGETS ${target} LIBRARY DESTINATION ${DOVECOT_MODULE_DIR}/${arg_SUBDIR})
  add_dependencies(lbox_modules ${target})
endfunction()

# lbox_dovecot_program(<target> SOURCES <file>... [LINK <library>...])
# A program that Dovecot's master runs as a service: in the build's libexec/, installed among Dovecot's own. main() begins with hosting_abi_check().
function(lbox_dovecot_program target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LINK")
  if(NOT arg_SOURCES OR arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "lbox_dovecot_program(${target}) takes SOURCES and LINK")
  endif()
  add_executable(${target} ${arg_SOURCES} hosting-abi.c abi-check.c)
  set_target_properties(${target} PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/libexec
    BUILD_RPATH ${DOVECOT_LIB_DIR}
    INSTALL_RPATH ${DOVECOT_LIB_DIR}
    C_EXTENSIONS ON
    CXX_EXTENSIONS ON)
  lbox_for_this_dovecot(${target})
  target_compile_definitions(${target} PRIVATE LBOX_MODULE_DIR="${DOVECOT_MODULE_DIR}")
  target_link_options(${target} PRIVATE LINKER:-z,relro,-z,now LINKER:--no-as-needed)
  target_link_libraries(${target} PRIVATE ${arg_LINK} ${CMAKE_DL_LIBS}
    ${DOVECOT_LIB_DIR}/libdovecot-storage.so ${DOVECOT_LIB_DIR}/libdovecot.so)
  install(TARGETS ${target} RUNTIME DESTINATION ${DOVECOT_LIBEXEC_DIR})
endfunction()

# Runs at every build: modules of Dovecot's may have been installed or removed since.
add_custom_target(lbox_modules ALL
  COMMAND ${CMAKE_COMMAND} -DFROM=${DOVECOT_MODULE_DIR} -DTO=${LBOX_MODULES}
          -P ${CMAKE_CURRENT_LIST_DIR}/mirror-modules.cmake
  COMMENT "Linking Dovecot's own modules into modules/" VERBATIM)
