// Package office takes documents of office programs apart as far as they can do harm: macros, formulas
// and fields that start programs, links that are followed by themselves, embedded objects, encryption.
//
// It reads OLE2 compound files (MS-CFB: Word, Excel, PowerPoint, Publisher, Visio, Outlook messages),
// OOXML and ODF packages, Word and Excel as one XML file, RTF, SYLK and, with InspectTable, CSV. It
// judges nothing, decrypts nothing and never expands an XML entity.
//
// Documents followed: MS-CFB, MS-OVBA, MS-DOC, MS-XLS, MS-XLSB, MS-PPT, MS-OLEDS, MS-OFFCRYPTO,
// ECMA-376 and RTF 1.9.1.
package office
