# SPDX-License-Identifier: Apache-2.0
#
# libweft, static and shared, from all of src/ but the other architectures and systems and the
# libraries apart (hook, gc). The objects are compiled twice: position-independent code costs the
# static library speed, and it has no use for it.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|amd64|AMD64)$")
    set(weft_arch x86_64)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
    set(weft_arch aarch64)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^riscv64$")
    set(weft_arch riscv64)
else()
    message(FATAL_ERROR "weft has no src/arch/ for ${CMAKE_SYSTEM_PROCESSOR}")
endif()
string(TOLOWER ${CMAKE_SYSTEM_NAME} weft_os)

set(src ${PROJECT_SOURCE_DIR}/src)
file(GLOB_RECURSE weft_sources CONFIGURE_DEPENDS ${src}/*.c ${src}/*.S)
list(FILTER weft_sources EXCLUDE REGEX "^${src}/(hook|gc)/")
foreach(seam arch os)
    file(GLOB_RECURSE seam_sources CONFIGURE_DEPENDS ${src}/${seam}/*/*.c ${src}/${seam}/*/*.S)
    list(FILTER seam_sources EXCLUDE REGEX "^${src}/${seam}/${weft_${seam}}/")
    if(seam_sources)
        list(REMOVE_ITEM weft_sources ${seam_sources})
    endif()
endforeach()
if(NOT weft_sources)
    message(FATAL_ERROR "no sources in ${src}")
endif()

add_library(weft_static STATIC ${weft_sources})
add_library(weft SHARED ${weft_sources})
add_library(weft::weft_static ALIAS weft_static)
add_library(weft::weft ALIAS weft)

foreach(lib weft_static weft)
    target_link_libraries(${lib} PRIVATE $<BUILD_INTERFACE:weft_core_flags>)
    target_include_directories(${lib} PUBLIC
        $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
        $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
    target_compile_options(${lib} INTERFACE $<$<COMPILE_LANGUAGE:C,CXX>:-fstack-clash-protection>)
    set_target_properties(${lib} PROPERTIES OUTPUT_NAME weft)
endforeach()

# For position-independent executables, the default everywhere; in them hidden symbols cost nothing.
target_compile_options(weft_static PRIVATE $<$<COMPILE_LANGUAGE:C>:-fPIE>)
target_link_libraries(weft_static PUBLIC Threads::Threads)

target_link_libraries(weft PRIVATE Threads::Threads)
set_target_properties(weft PROPERTIES
    VERSION ${PROJECT_VERSION}
    SOVERSION ${PROJECT_VERSION_MAJOR}
    LINK_DEPENDS ${PROJECT_SOURCE_DIR}/cmake/weft.map)
target_link_options(weft PRIVATE
    -Wl,--version-script=${PROJECT_SOURCE_DIR}/cmake/weft.map -Wl,-z,noexecstack -Wl,-z,relro)
if(NOT WEFT_SANITIZE)
    target_link_options(weft PRIVATE -Wl,-z,defs)
endif()
