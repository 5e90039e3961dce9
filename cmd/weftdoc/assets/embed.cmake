# SPDX-License-Identifier: Apache-2.0
#
# cmake -D output=FILE.c -P embed.cmake -- FILES...: the files as arrays, asset_NAME and
# asset_NAME_size, where a dot of the name is an underscore.
set(text "#include <stddef.h>\n")
set(files FALSE)
math(EXPR last "${CMAKE_ARGC} - 1")
foreach(i RANGE ${last})
    if(files)
        set(file ${CMAKE_ARGV${i}})
        get_filename_component(name ${file} NAME)
        string(REPLACE "." "_" name ${name})
        file(READ ${file} bytes HEX)
        string(LENGTH "${bytes}" size)
        math(EXPR size "${size} / 2")
        string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
        string(REGEX REPLACE "((0x..,)(0x..,)(0x..,)(0x..,)(0x..,)(0x..,)(0x..,)(0x..,))" "\\1\n" bytes "${bytes}")
        string(APPEND text
            "extern const char asset_${name}[];\nextern const size_t asset_${name}_size;\n"
            "const char asset_${name}[] = {\n${bytes}0};\nconst size_t asset_${name}_size = ${size};\n")
    elseif(CMAKE_ARGV${i} STREQUAL "--")
        set(files TRUE)
    endif()
endforeach()
file(WRITE ${output} "${text}")
