# SPDX-License-Identifier: Apache-2.0
#
# Runs an example and compares what it prints. stdout goes to a file, because CMake's variables
# would lose some bytes.
execute_process(COMMAND ${program} OUTPUT_FILE ${output} INPUT_FILE /dev/null
    RESULT_VARIABLE status)
if(NOT status EQUAL 0)
    file(READ ${output} text)
    message(FATAL_ERROR "${program} ended with ${status}; it printed:\n${text}")
endif()
if(EXISTS ${expected})
    execute_process(COMMAND diff -u ${expected} ${output} RESULT_VARIABLE status)
    if(NOT status EQUAL 0)
        message(FATAL_ERROR "the output differs from ${expected}")
    endif()
endif()
