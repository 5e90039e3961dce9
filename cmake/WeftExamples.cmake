# SPDX-License-Identifier: Apache-2.0
#
# examples/<name>.c or .cc is one program, run as a test; its stdout must equal <name>.expected, byte
# for byte, where that file exists.
#
# examples/net/<name>.c is a server or a client; tests/examples/<name>.sh drives it by curl, ncat and
# the like, and is skipped where those are missing (tools/deps installs them).
file(GLOB examples CONFIGURE_DEPENDS
    ${PROJECT_SOURCE_DIR}/examples/*.c ${PROJECT_SOURCE_DIR}/examples/*.cc)
file(GLOB expected CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/examples/*.expected)
foreach(source ${examples})
    get_filename_component(name ${source} NAME_WE)
    add_executable(example_${name} ${source})
    target_link_libraries(example_${name} PRIVATE weft_flags weft_static)
    set_target_properties(example_${name} PROPERTIES
        OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/examples)
    add_test(NAME examples/${name} COMMAND ${CMAKE_COMMAND}
        -D program=$<TARGET_FILE:example_${name}>
        -D expected=${PROJECT_SOURCE_DIR}/examples/${name}.expected
        -D output=${PROJECT_BINARY_DIR}/examples/${name}.out
        -P ${PROJECT_SOURCE_DIR}/cmake/run_example.cmake)
    set_tests_properties(examples/${name} PROPERTIES
        LABELS examples TIMEOUT ${weft_test_timeout} ENVIRONMENT "${weft_test_env}")
endforeach()

file(GLOB examples CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/examples/net/*.c)
set(slowness 1)
if(WEFT_SANITIZE)
    set(slowness 10)
endif()
foreach(source ${examples})
    get_filename_component(name ${source} NAME_WE)
    add_executable(example_net_${name} ${source})
    target_link_libraries(example_net_${name} PRIVATE weft_flags weft_static)
    set_target_properties(example_net_${name} PROPERTIES
        OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/examples/net)
    add_test(NAME examples/net/${name}
        COMMAND sh ${PROJECT_SOURCE_DIR}/tests/examples/${name}.sh
            ${PROJECT_BINARY_DIR}/examples/net)
    set_tests_properties(examples/net/${name} PROPERTIES
        LABELS examples TIMEOUT ${weft_test_timeout} SKIP_RETURN_CODE 77
        ENVIRONMENT "${weft_test_env};WEFT_TEST_SLOWNESS=${slowness}")
endforeach()
