# SPDX-License-Identifier: Apache-2.0
#
# Tests of the tree and of the built library rather than of its behaviour; one preset runs them.

# --- layers
add_test(NAME tree/layers COMMAND ${PROJECT_SOURCE_DIR}/tools/layers)
add_test(NAME tree/layers-self-test COMMAND ${PROJECT_SOURCE_DIR}/tools/layers --self-test)
set_tests_properties(tree/layers tree/layers-self-test PROPERTIES LABELS tree)

# --- each public header alone
file(GLOB headers CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR}/include
    ${PROJECT_SOURCE_DIR}/include/*.h ${PROJECT_SOURCE_DIR}/include/weft/*.h)
foreach(header ${headers})
    foreach(compiler gcc clang)
        foreach(standard c11 gnu2x c++17)
            set(name headers/${header}-${compiler}-${standard})
            add_test(NAME ${name} COMMAND
                ${PROJECT_SOURCE_DIR}/tools/headers-check ${compiler} ${standard} ${header})
            set_tests_properties(${name} PROPERTIES LABELS headers)
        endforeach()
    endforeach()
endforeach()

# --- the shared library: what it exports, what it needs
foreach(question exports needs)
    add_test(NAME library/${question} COMMAND
        ${PROJECT_SOURCE_DIR}/tools/library-check ${question} $<TARGET_FILE:weft>)
    set_tests_properties(library/${question} PROPERTIES LABELS library)
endforeach()

# --- an installed copy, used by pkg-config and by CMake
add_test(NAME install/prefix COMMAND ${CMAKE_COMMAND} -E rm -rf ${PROJECT_BINARY_DIR}/prefix)
add_test(NAME install/install COMMAND
    ${CMAKE_COMMAND} --install ${PROJECT_BINARY_DIR} --prefix ${PROJECT_BINARY_DIR}/prefix)
set_tests_properties(install/prefix PROPERTIES LABELS install FIXTURES_SETUP weft_empty_prefix)
set_tests_properties(install/install PROPERTIES LABELS install
    FIXTURES_REQUIRED weft_empty_prefix FIXTURES_SETUP weft_prefix)
foreach(way pkg-config pkg-config-static pkg-config-c++ cmake man weftdoc)
    add_test(NAME install/${way} COMMAND
        ${PROJECT_SOURCE_DIR}/tools/install-check ${way} ${PROJECT_BINARY_DIR}/prefix)
    set_tests_properties(install/${way} PROPERTIES LABELS install FIXTURES_REQUIRED weft_prefix
        SKIP_RETURN_CODE 77
        ENVIRONMENT "CC=${CMAKE_C_COMPILER};CXX=${CMAKE_CXX_COMPILER}")
endforeach()
