# SPDX-License-Identifier: Apache-2.0
#
# examples/<name>.c or .cc is one program, run as a test; its stdout must equal <name>.expected, byte
# for byte, where that file exists.
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
