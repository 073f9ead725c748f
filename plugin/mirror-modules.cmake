# Links every module below FROM into the same place below TO, unless a module built there has the
# name already, and drops links to what is gone.
cmake_minimum_required(VERSION 3.22)

file(GLOB_RECURSE there LIST_DIRECTORIES false RELATIVE ${TO} ${TO}/*)
foreach(name IN LISTS there)
  if(IS_SYMLINK ${TO}/${name} AND NOT EXISTS ${TO}/${name})
    file(REMOVE ${TO}/${name})
  endif()
endforeach()

file(GLOB_RECURSE names LIST_DIRECTORIES true RELATIVE ${FROM} ${FROM}/*)
foreach(name IN LISTS names)
  if(IS_DIRECTORY ${FROM}/${name})
    file(MAKE_DIRECTORY ${TO}/${name})
  elseif(NOT EXISTS ${TO}/${name})
    get_filename_component(folder ${TO}/${name} DIRECTORY)
    file(MAKE_DIRECTORY ${folder})
    file(CREATE_LINK ${FROM}/${name} ${TO}/${name} SYMBOLIC)
  endif()
endforeach()
