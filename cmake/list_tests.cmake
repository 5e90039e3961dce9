# SPDX-License-Identifier: Apache-2.0
#
# Run after a test program is linked: asks it for its tests and writes them for ctest.
execute_process(COMMAND ${program} --list
    OUTPUT_VARIABLE names RESULT_VARIABLE status OUTPUT_STRIP_TRAILING_WHITESPACE)
if(NOT status EQUAL 0)
    file(REMOVE ${program})
    message(FATAL_ERROR "${program} --list: ${status}")
endif()
string(REPLACE "\n" ";" names "${names}")
if(NOT names)
    file(REMOVE ${program})
    message(FATAL_ERROR "${program} has no tests")
endif()

set(text "")
function(entry test name)
    list(APPEND env ${ARGN})
    string(APPEND text "add_test([==[${test}]==] [==[${program}]==] [==[${name}]==])\n")
    string(APPEND text "set_tests_properties([==[${test}]==] PROPERTIES LABELS ${kind} "
        "TIMEOUT ${timeout} SKIP_RETURN_CODE 77 ENVIRONMENT [==[${env}]==])\n")
    set(text "${text}" PARENT_SCOPE)
endfunction()

foreach(name ${names})
    if(kind STREQUAL "stress")
        set(timeout 7500) # WEFT_STRESS_SECONDS may be large; the harness's watchdog knows it
        foreach(p 1 2 8)
            entry("${kind}/${file}.${name}@P${p}" ${name} GOMAXPROCS=${p})
        endforeach()
    else()
        entry("${kind}/${file}.${name}" ${name})
    endif()
endforeach()
file(WRITE ${listing} "${text}")
