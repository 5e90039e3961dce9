# SPDX-License-Identifier: Apache-2.0
#
# Compiler flags. weft_flags: for every target in this tree. weft_core_flags: for the library's own
# objects besides.
if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE Release CACHE STRING "Release or Debug" FORCE)
endif()
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

# No -DNDEBUG: an assert in a test is a check.
foreach(lang C CXX)
    set(CMAKE_${lang}_FLAGS_RELEASE "-O2 -g")
    set(CMAKE_${lang}_FLAGS_DEBUG "-O0 -g")
endforeach()
if(WEFT_SANITIZE)
    foreach(lang C CXX)
        set(CMAKE_${lang}_FLAGS_RELEASE "-O1 -g")
    endforeach()
endif()

find_program(WEFT_CCACHE ccache)
if(WEFT_CCACHE)
    set(CMAKE_C_COMPILER_LAUNCHER ${WEFT_CCACHE})
    set(CMAKE_CXX_COMPILER_LAUNCHER ${WEFT_CCACHE})
endif()

set(THREADS_PREFER_PTHREAD_FLAG OFF)
find_package(Threads REQUIRED)

add_library(weft_flags INTERFACE)
set(c_and_cxx $<COMPILE_LANGUAGE:C,CXX>)
target_compile_options(weft_flags INTERFACE
    $<${c_and_cxx}:-Wall> $<${c_and_cxx}:-Wextra> $<${c_and_cxx}:-Werror>
    $<${c_and_cxx}:-Wpointer-arith> $<${c_and_cxx}:-Wwrite-strings>
    $<${c_and_cxx}:-Wformat=2>
    $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes> $<$<COMPILE_LANGUAGE:C>:-Wold-style-definition>
    # dumps and profiles walk frame pointers
    $<${c_and_cxx}:-fno-omit-frame-pointer>
    # a large frame must meet the guard of a small stack, not jump it
    $<${c_and_cxx}:-fstack-clash-protection>
    $<$<COMPILE_LANGUAGE:ASM>:-Wa,--noexecstack>)
if(WEFT_SANITIZE STREQUAL "address")
    set(sanitize -fsanitize=address,undefined -fno-sanitize-recover=all)
elseif(WEFT_SANITIZE STREQUAL "thread")
    set(sanitize -fsanitize=thread)
elseif(WEFT_SANITIZE)
    message(FATAL_ERROR "WEFT_SANITIZE is \"\", \"address\" or \"thread\", not \"${WEFT_SANITIZE}\"")
endif()
if(sanitize)
    target_compile_options(weft_flags INTERFACE ${sanitize})
    target_link_options(weft_flags INTERFACE ${sanitize})
endif()

add_library(weft_core_flags INTERFACE)
target_link_libraries(weft_core_flags INTERFACE weft_flags)
target_compile_options(weft_core_flags INTERFACE
    $<$<COMPILE_LANGUAGE:C>:-Wmissing-prototypes> $<$<COMPILE_LANGUAGE:C>:-Wvla>
    $<$<COMPILE_LANGUAGE:C>:-fvisibility=hidden>
    # thread-locals by one load off the thread pointer, in the shared library too
    $<$<COMPILE_LANGUAGE:C>:-ftls-model=initial-exec>)
target_include_directories(weft_core_flags INTERFACE ${PROJECT_SOURCE_DIR}/src)
if(WEFT_DEBUG)
    target_compile_definitions(weft_flags INTERFACE WEFTI_DEBUG=1)
endif()
