# One library per folder, one set of flags for all of our code.

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()

find_program(MOLD_PROGRAM mold)
if(MOLD_PROGRAM AND NOT VIGIL_LTO)
  add_link_options(-fuse-ld=mold)
endif()

add_library(vigil_flags INTERFACE)
target_compile_options(vigil_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wcast-align
  -Wunused -Wimplicit-fallthrough -Wno-missing-field-initializers -Werror -fno-omit-frame-pointer)
target_include_directories(vigil_flags INTERFACE ${PROJECT_SOURCE_DIR})

if(VIGIL_SANITIZE)
  add_compile_options(-fsanitize=${VIGIL_SANITIZE} -fno-sanitize-recover=all -O1 -g1)
  add_link_options(-fsanitize=${VIGIL_SANITIZE})
endif()

if(VIGIL_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

if(VIGIL_LTO)
  include(CheckIPOSupported)
  check_ipo_supported(RESULT VIGIL_IPO_WORKS OUTPUT VIGIL_IPO_WHY LANGUAGES CXX)
  if(VIGIL_IPO_WORKS)
    set(CMAKE_INTERPROCEDURAL_OPTIMIZATION ON)
  else()
    message(WARNING "no link-time optimisation: ${VIGIL_IPO_WHY}")
  endif()
endif()

# vigil_library(NAME SOURCES a.cc ... DEPS vigil::base ... [PRIVATE_DEPS ...])
# The library of gateway/NAME. Header-only folders become interface libraries.
function(vigil_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;PRIVATE_DEPS" ${ARGN})
  if(ARG_SOURCES)
    add_library(vigil_${name} STATIC ${ARG_SOURCES})
    target_link_libraries(vigil_${name} PUBLIC ${ARG_DEPS} PRIVATE vigil_flags ${ARG_PRIVATE_DEPS})
    target_include_directories(vigil_${name} PUBLIC ${PROJECT_SOURCE_DIR})
  else()
    add_library(vigil_${name} INTERFACE)
    target_link_libraries(vigil_${name} INTERFACE ${ARG_DEPS})
    target_include_directories(vigil_${name} INTERFACE ${PROJECT_SOURCE_DIR})
  endif()
  add_library(vigil::${name} ALIAS vigil_${name})
endfunction()

# vigil_executable(NAME SOURCES a.cc ... DEPS ...)
function(vigil_executable name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE vigil_flags ${ARG_DEPS})
endfunction()

# vigil_test(NAME SOURCES a_test.cc ... DEPS ... [LABELS unit threads]): one GoogleTest binary,
# registered with ctest. Labels: "unit" (the default), "sim", and "threads" for what is built and
# run again under ThreadSanitizer; a list given here replaces the default. The target `label_X`
# builds the tests of label X and nothing else.
function(vigil_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;LABELS" ${ARGN})
  if(NOT ARG_LABELS)
    set(ARG_LABELS unit)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE vigil_flags ${ARG_DEPS} GTest::gmock GTest::gtest
                                        GTest::gtest_main)
  target_compile_definitions(${name} PRIVATE VIGIL_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  # The tests' own code is run once: it compiles in half the time unoptimised.
  target_compile_options(${name} PRIVATE $<$<CONFIG:Debug>:-O0>)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT 120 LABELS "${ARG_LABELS}")
  foreach(label IN LISTS ARG_LABELS)
    if(NOT TARGET label_${label})
      add_custom_target(label_${label})
    endif()
    add_dependencies(label_${label} ${name})
  endforeach()
endfunction()

# vigil_fuzz_target(NAME SOURCE x_fuzz.cc CORPUS dir DEPS ...)
# With VIGIL_FUZZ a libFuzzer binary; otherwise a program that replays the corpus, run by ctest.
function(vigil_fuzz_target name)
  cmake_parse_arguments(ARG "" "SOURCE;CORPUS" "DEPS" ${ARGN})
  if(VIGIL_FUZZ)
    add_executable(${name} ${ARG_SOURCE})
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  else()
    add_executable(${name} ${ARG_SOURCE} ${PROJECT_SOURCE_DIR}/tests/fuzz/replay_main.cc)
  endif()
  target_link_libraries(${name} PRIVATE vigil_flags ${ARG_DEPS})
  # COMMAND_EXPAND_LISTS drops the option where it is empty, instead of passing an empty argument.
  add_test(NAME ${name}_corpus
    COMMAND ${name} $<$<BOOL:${VIGIL_FUZZ}>:-runs=0> ${ARG_CORPUS}
    COMMAND_EXPAND_LISTS)
  set_tests_properties(${name}_corpus PROPERTIES TIMEOUT 120 LABELS fuzz)
endfunction()
