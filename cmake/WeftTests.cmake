# SPDX-License-Identifier: Apache-2.0
#
# tests/<kind>/<file>.c or .cc is one program; each TEST in it is one test of ctest's, named
# <kind>/<file>.<TEST> and labelled <kind>. Programs list their tests once they are linked.
# A kind with a CMakeLists.txt of its own is left to it. In tests/stress each TEST is run at
# GOMAXPROCS 1, 2 and 8: names end in @P1, @P2, @P8.
add_library(weft_harness STATIC
    ${PROJECT_SOURCE_DIR}/tests/harness/weft_test.c
    ${PROJECT_SOURCE_DIR}/tests/harness/child.c
    ${PROJECT_SOURCE_DIR}/tests/harness/run.c)
target_include_directories(weft_harness PUBLIC ${PROJECT_SOURCE_DIR}/tests/harness)
target_link_libraries(weft_harness PUBLIC weft_flags weft_static)

# In debug builds: a malloc that may not be called inside the runtime. For a target's sources.
set(weft_watch "")
if(WEFT_DEBUG AND NOT WEFT_SANITIZE)
    add_library(weft_watch OBJECT ${PROJECT_SOURCE_DIR}/tests/harness/watch.c)
    target_link_libraries(weft_watch PRIVATE weft_flags)
    target_include_directories(weft_watch PRIVATE
        ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
    set(weft_watch $<TARGET_OBJECTS:weft_watch>)
endif()

# The harness's own watchdog comes first and says more (60 s, 600 s under a sanitizer).
set(weft_test_timeout 150)
if(WEFT_SANITIZE)
    set(weft_test_timeout 800)
endif()
set(weft_test_env
    "ASAN_OPTIONS=detect_stack_use_after_return=0:allocator_may_return_null=1"
    "UBSAN_OPTIONS=print_stacktrace=1"
    # TSan sleeps a second at each exit otherwise; the suite has hundreds of them
    "TSAN_OPTIONS=history_size=4:atexit_sleep_ms=0")

# weft_add_tests(kind source): the program and its tests. Returns the target's name in weft_program.
function(weft_add_tests kind source)
    get_filename_component(file ${source} NAME_WE)
    set(program test_${kind}_${file})
    set(listing ${PROJECT_BINARY_DIR}/tests/${kind}/${file}.tests.cmake)
    add_executable(${program} ${source} ${weft_watch})
    target_link_libraries(${program} PRIVATE weft_harness weft_static)
    target_include_directories(${program} PRIVATE ${PROJECT_SOURCE_DIR}/src)
    set_target_properties(${program} PROPERTIES
        OUTPUT_NAME ${file} RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/${kind})
    add_custom_command(TARGET ${program} POST_BUILD BYPRODUCTS ${listing} VERBATIM
        COMMAND ${CMAKE_COMMAND}
            -D program=$<TARGET_FILE:${program}> -D kind=${kind} -D file=${file}
            -D listing=${listing} -D timeout=${weft_test_timeout} -D "env=${weft_test_env}"
            -P ${PROJECT_SOURCE_DIR}/cmake/list_tests.cmake)
    # A program that was never built must count as a failed test, not as none.
    file(GENERATE OUTPUT ${PROJECT_BINARY_DIR}/tests/${kind}/${file}.include.cmake CONTENT
"if(EXISTS \"${listing}\")
    include(\"${listing}\")
else()
    add_test(\"${kind}/${file}.NOT_BUILT\" false)
    set_tests_properties(\"${kind}/${file}.NOT_BUILT\" PROPERTIES LABELS ${kind})
endif()
")
    set_property(DIRECTORY ${PROJECT_SOURCE_DIR} APPEND PROPERTY
        TEST_INCLUDE_FILES ${PROJECT_BINARY_DIR}/tests/${kind}/${file}.include.cmake)
    set(weft_program ${program} PARENT_SCOPE)
endfunction()

file(GLOB kinds CONFIGURE_DEPENDS LIST_DIRECTORIES true ${PROJECT_SOURCE_DIR}/tests/*)
foreach(dir ${kinds})
    get_filename_component(kind ${dir} NAME)
    if(NOT IS_DIRECTORY ${dir} OR kind STREQUAL "harness" OR kind STREQUAL "install")
        continue()
    endif()
    if(EXISTS ${dir}/CMakeLists.txt)
        add_subdirectory(${dir})
        continue()
    endif()
    file(GLOB sources CONFIGURE_DEPENDS ${dir}/*.c ${dir}/*.cc)
    foreach(source ${sources})
        weft_add_tests(${kind} ${source})
    endforeach()
endforeach()

# The harness itself. Of failing.c each test must fail, with these words.
weft_add_tests(harness ${PROJECT_SOURCE_DIR}/tests/harness/selftest.c)
add_executable(test_harness_failing ${PROJECT_SOURCE_DIR}/tests/harness/failing.c)
target_link_libraries(test_harness_failing PRIVATE weft_harness weft_static)
set_target_properties(test_harness_failing PROPERTIES
    OUTPUT_NAME failing RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/harness)
function(weft_must_fail name words)
    add_test(NAME harness/failing.${name} COMMAND
        sh -c "\"$0\" $1; echo status $?" $<TARGET_FILE:test_harness_failing> ${name})
    set_tests_properties(harness/failing.${name} PROPERTIES LABELS harness
        TIMEOUT ${weft_test_timeout} ENVIRONMENT "${weft_test_env}"
        PASS_REGULAR_EXPRESSION "${words}.*status (1|134)")
endfunction()
weft_must_fail(check "failing.c:[0-9]+: test check failed: CHECK\\(1 > 2\\)")
weft_must_fail(eq "1 \\(0x1\\) is not 2 \\(0x2\\)")
weft_must_fail(str "\"a\" is not \"\\(NULL\\)\"")
weft_must_fail(leaks_descriptor "leaks descriptors")
weft_must_fail(hangs "test hangs failed: still running after 1 s")
weft_must_fail(exits "the process ended before its test did")
weft_must_fail(wrong_status "exit status 3, not 2")
weft_must_fail(wrong_line "stderr begins with")
weft_must_fail(lacks_text "stderr lacks \"b\"")
weft_must_fail(lives "exit status 0, not 2")
