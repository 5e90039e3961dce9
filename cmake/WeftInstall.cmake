# SPDX-License-Identifier: Apache-2.0
#
# What `make install` puts where. weft.pc finds its prefix from its own place, so an installed tree
# may be moved.
include(CMakePackageConfigHelpers)

install(DIRECTORY include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(TARGETS weft weft_static EXPORT weftTargets
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
    INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/weft)
install(EXPORT weftTargets NAMESPACE weft:: DESTINATION ${package_dir})
configure_package_config_file(cmake/weftConfig.cmake.in weftConfig.cmake
    INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(weftConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/weftConfig.cmake ${PROJECT_BINARY_DIR}/weftConfigVersion.cmake
    DESTINATION ${package_dir})

file(RELATIVE_PATH pc_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" pc_prefix "${pc_prefix}")
configure_file(cmake/weft.pc.in weft.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/weft.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

# A page that describes several names is found under each: the others are one-line pages that
# refer to it.
foreach(section 1 3 7)
    file(GLOB pages CONFIGURE_DEPENDS docs/man${section}/*.${section})
    set(aliases "")
    foreach(page ${pages})
        set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${page})
        get_filename_component(own ${page} NAME)
        file(STRINGS ${page} names REGEX "^\\.(Nm +[a-zA-Z_]|Sh +(SYNOPSIS|DESCRIPTION))")
        foreach(line ${names})
            if(line MATCHES "^\\.Sh")
                break()
            endif()
            string(REGEX REPLACE "^\\.Nm +([a-zA-Z0-9_]+).*" "\\1" name "${line}")
            set(alias ${PROJECT_BINARY_DIR}/man${section}/${name}.${section})
            if(NOT EXISTS ${PROJECT_SOURCE_DIR}/docs/man${section}/${name}.${section})
                file(WRITE ${alias} ".so man${section}/${own}\n")
                list(APPEND aliases ${alias})
            endif()
        endforeach()
    endforeach()
    list(REMOVE_DUPLICATES aliases)
    install(FILES ${pages} ${aliases} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
endforeach()

# What weftdoc shows when no folder is named, laid out as in the source tree: links between the
# documents lead to the same places.
set(documents ${CMAKE_INSTALL_DATAROOTDIR}/doc/weft)
install(FILES README.md ARCHITECTURE.md HACKING.md CONTRIBUTING.md CHANGELOG.md
    DESTINATION ${documents})
install(DIRECTORY docs DESTINATION ${documents}
    FILES_MATCHING PATTERN "*.md" PATTERN "*.[137]")
